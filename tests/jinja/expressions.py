"""Expressions of Jinja made at random: what chat templates are made of, and what they are not."""

import random

ATOMS = [
    '1', '0', '-3', '2.5', '1e3', "'abc'", "'A b-c'", "''", "'x,y,,z'", "' pad '", "'é😀ß'", "'a\\nb\\n'", 'N', 'T', 'F', 'none', 'e0', 'i3',
    "['b','A','c']", "[1,'a',none]", '(1,2)', "('a',)", "{'a':1,'b':[1,2]}", '{}', "{'k':'v','n':none}", 'undef', 'd', 'd.x', 'd.y', 'l', 'l[0]',
    's', 'n', 'f', 'l[1:]', 's[::-1]', "d['z']", 'range(3)', '[[1,2],[3]]', "[{'a':2},{'a':1}]", "'12'", "'3.7'", "'%s-%s'", "'{}:{}'", '10**18',
    'True', '3.0', '0.1',
]
FILTERS = [
    'abs', 'batch(2)|list', 'capitalize', 'center(9)', 'count', "d('D')", "default('D')", "default('D', true)", 'dictsort', "dictsort(by='value')",
    'first', 'float', 'float(1.5)', "format('a')", 'format(1,2)', "groupby('a')", 'indent', 'indent(2,true)', "indent('>>',blank=true)", 'int',
    'int(7)', 'int(0,16)', 'join', "join('-')", "join(',',attribute='a')", 'last', 'length', 'list', 'lower', 'items|list', "map('upper')|list",
    "map(attribute='a')|list", "map(attribute='q',default='-')|list", 'max', 'min', 'reject|list', "reject('none')|list", "rejectattr('a')|list",
    "replace('a','X')", "replace('','-')", "replace('b','Q',1)", 'reverse|list', 'reverse', 'round', 'round(1)', "round(2,'ceil')",
    "round(0,'floor')", 'select|list', "select('string')|list", "select('gt',1)|list", "selectattr('a')|list", "selectattr('a','equalto',1)|list",
    'slice(2)|list', "slice(2,'f')|list", 'sort', 'sort(reverse=true)', 'sort(case_sensitive=true)', "sort(attribute='a')", 'string', 'sum',
    'sum(start=1)', "sum(attribute='a')", 'title', 'tojson', 'tojson(indent=2)', 'tojson(sort_keys=true)', "tojson(separators=(',',':'))",
    'tojson(ensure_ascii=true)', 'trim', "trim('a ')", 'truncate(3)', "truncate(4,true,'')", 'unique|list', 'upper', 'urlencode', 'wordcount', 'e',
    'safe', "attr('a')", 'forceescape',
]
METHODS = [
    'upper()', 'lower()', 'strip()', "strip('a')", 'lstrip()', "rstrip('c')", 'split()', "split(',')", "split(',',1)", "rsplit(',',1)",
    'split(none,1)', 'rsplit(none,1)', 'splitlines()', 'splitlines(true)', "startswith('a')", "startswith(('a','x'))", "endswith('c')", "find('b')",
    "rfind('b')", "index('b')", "count('a')", "replace('a','b')", "replace('a','b',1)", 'title()', 'capitalize()', 'swapcase()', 'isdigit()',
    'isalpha()', 'isalnum()', 'isspace()', 'isupper()', 'islower()', 'istitle()', 'isnumeric()', 'isdecimal()', 'zfill(6)', "center(8,'*')",
    'ljust(6)', "rjust(6,'.')", "partition(',')", "rpartition('b')", "removeprefix('a')", "removesuffix('c')", "join(['p','q'])", "format('a','b')",
    'format(1,2.5)', 'expandtabs()', 'casefold()', 'items()', 'keys()', 'values()', "get('a')", "get('q','dflt')", "get('n')", 'append(1)',
    'update({})', 'pop()', 'count(1)', 'index(2)', 'copy()', 'a', 'x', 'items', '0', '__class__', 'encode()',
]
TESTS = [
    'defined', 'undefined', 'none', 'string', 'number', 'integer', 'float', 'boolean', 'true', 'false', 'mapping', 'sequence', 'iterable',
    'callable', 'odd', 'even', 'divisibleby 2', 'divisibleby(3)', 'in [1,2,3]', "in 'abc'", 'eq 1', 'ne(1)', 'gt 1', 'lessthan 2', 'lower', 'upper',
    'sameas none', 'escaped', 'filter', 'test', 'not none', 'not string',
]
OPERATORS = [
    '+', '-', '*', '/', '//', '%', '**', '~', '==', '!=', '<', '>', '<=', '>=', 'in', 'not in', 'and', 'or',
]
#: A slice of a constant is no slice to Jinja, which folds it; only names are sliced here.
SLICES = ["l[1:]", "s[::2]", "i3[:-1]", "s[::-1]", "i3[5:]", "s[-3:]"]
INDICES = ["0", "-1", "5", "'a'", "none", "n"]


class Expressions:
    def __init__(self, draw: random.Random) -> None:
        self.random = draw

    def expression(self, depth: int) -> str:
        one_of, inner = self.random.choice, lambda: self.expression(depth - 1)
        if depth <= 0:
            return one_of(ATOMS)
        kind = self.random.random()
        if kind < 0.30:
            return f"({inner()})|{one_of(FILTERS)}"
        if kind < 0.50:
            return f"({inner()}).{one_of(METHODS)}"
        if kind < 0.58:
            return f"({inner()} is {one_of(TESTS)})"
        if kind < 0.83:
            return f"({inner()} {one_of(OPERATORS)} {inner()})"
        if kind < 0.87:
            return f"({inner()} if {inner()} else {inner()})"
        if kind < 0.90:
            return f"({inner()})[{one_of(INDICES)}]"
        if kind < 0.92:
            return one_of(SLICES)
        if kind < 0.94:
            return f"(not {inner()})"
        if kind < 0.97:
            return f"[{inner()}, {inner()}]"
        return f"{{'p': {inner()}}}"
