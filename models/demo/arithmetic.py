"""Arithmetic and elementary algebra, written out in several phrasings, as plain exercises and as a dialogue.

Generated, so its licence is ours and its amount is free. Every answer is correct and every step is spelled out:
the model can only learn what a left-to-right reader can compute.
"""
import random
from collections.abc import Callable
from pathlib import Path

NAMES = ("Anna", "Ben", "Chen", "Dora", "Emil", "Farah", "Greta", "Hugo", "Ines", "Jonas", "Kira", "Liam")
THINGS = ("apples", "marbles", "books", "coins", "stamps", "pencils", "tickets", "shells", "cards", "stones")
PROBLEMS = 24  # a sheet; about 1.5 kB, longer than the windows that routing is judged on

Problem = tuple[str, str]


def addition(r: random.Random) -> Problem:
    a, b = r.randrange(2, 1000), r.randrange(2, 1000)
    question = r.choice((f"What is {a} + {b}?", f"Add {a} and {b}.", f"Compute the sum {a} + {b}.", f"{a} + {b} = ?"))
    return question, f"{a} + {b} = {a + b}."


def subtraction(r: random.Random) -> Problem:
    a, b = r.randrange(2, 500), r.randrange(2, 500)
    question = r.choice((f"What is {a + b} - {b}?", f"Subtract {b} from {a + b}.", f"Find the difference {a + b} - {b}."))
    return question, f"{a + b} - {b} = {a}."


def multiplication(r: random.Random) -> Problem:
    a, b = r.randrange(11, 100), r.randrange(2, 13)
    tens, ones = a // 10 * 10, a % 10
    question = r.choice((f"What is {a} * {b}?", f"Multiply {a} by {b}.", f"Compute the product {a} * {b}."))
    return question, f"{a} * {b} = {tens} * {b} + {ones} * {b} = {tens * b} + {ones * b} = {a * b}."


def division(r: random.Random) -> Problem:
    a, b, rest = r.randrange(2, 100), r.randrange(2, 13), 0
    if r.random() < 0.4:
        rest = r.randrange(b)
    n = a * b + rest
    question = r.choice((f"What is {n} / {b}?", f"Divide {n} by {b}.", f"How often does {b} go into {n}?"))
    if rest:
        return question, f"{b} * {a} = {a * b} and {n} - {a * b} = {rest}, so the quotient is {a} with remainder {rest}."
    return question, f"{b} * {a} = {n}, so {n} / {b} = {a}."


def linear_equation(r: random.Random) -> Problem:
    a, b, x = r.randrange(2, 13), r.randrange(1, 60), r.randrange(-12, 21)
    question = r.choice((f"Solve {a}x + {b} = {a * x + b}.", f"Find x such that {a}x + {b} = {a * x + b}.",
                         f"If {a}x + {b} = {a * x + b}, what is x?"))
    return question, f"Subtract {b} from both sides: {a}x = {a * x}. Divide by {a}: x = {x}."


def quadratic_equation(r: random.Random) -> Problem:
    p, q = sorted((r.randrange(1, 13), r.randrange(1, 13)))
    question = r.choice((f"Solve x^2 - {p + q}x + {p * q} = 0.", f"Find the roots of x^2 - {p + q}x + {p * q}."))
    roots = f"x = {p} or x = {q}" if p != q else f"x = {p}"
    return question, f"x^2 - {p + q}x + {p * q} = (x - {p})(x - {q}). Therefore {roots}."


def expansion(r: random.Random) -> Problem:
    a, b = r.randrange(1, 13), r.randrange(1, 13)
    question = r.choice((f"Expand (x + {a})(x + {b}).", f"Multiply out (x + {a})(x + {b}).", f"Write (x + {a})(x + {b}) without brackets."))
    return question, f"(x + {a})(x + {b}) = x^2 + {b}x + {a}x + {a * b} = x^2 + {a + b}x + {a * b}."


def fraction_sum(r: random.Random) -> Problem:
    a, b, c, d = (r.randrange(1, 10) for _ in range(4))
    b, d = b + 1, d + 1
    return (r.choice((f"What is {a}/{b} + {c}/{d}?", f"Add the fractions {a}/{b} and {c}/{d}.")),
            f"{a}/{b} + {c}/{d} = {a * d}/{b * d} + {c * b}/{b * d} = {a * d + c * b}/{b * d}.")


def percentage(r: random.Random) -> Problem:
    p, n = r.choice((5, 10, 20, 25, 30, 40, 50, 60, 75, 80)), 20 * r.randrange(1, 50)
    return (r.choice((f"What is {p}% of {n}?", f"Compute {p} percent of {n}.")),
            f"{n} / 100 = {n / 100:g} and {n / 100:g} * {p} = {n * p // 100}. The answer is {n * p // 100}.")


def comparison(r: random.Random) -> Problem:
    a, b = r.sample(range(1, 2000), 2)
    return r.choice((f"Which is larger, {a} or {b}?", f"Compare {a} and {b}.")), f"{a} {'>' if a > b else '<'} {b}, so {max(a, b)} is larger."


def derivative(r: random.Random) -> Problem:
    a, n, b = r.randrange(2, 10), r.randrange(2, 7), r.randrange(1, 30)
    power = f"x^{n - 1}" if n > 2 else "x"
    return (r.choice((f"Differentiate f(x) = {a}x^{n} + {b}x.", f"Find the derivative of f(x) = {a}x^{n} + {b}x.")),
            f"f'(x) = {a} * {n} {power} + {b} = {a * n}{power} + {b}.")


def sequence(r: random.Random) -> Problem:
    a, d = r.randrange(1, 60), r.randrange(2, 15)
    terms = [a + d * i for i in range(5)]
    return (f"What is the next term of {', '.join(map(str, terms[:4]))}?",
            f"Each term is {d} more than the one before. {terms[3]} + {d} = {terms[4]}.")


def word_problem(r: random.Random) -> Problem:
    (one, two), thing = r.sample(NAMES, 2), r.choice(THINGS)
    a, b = r.randrange(5, 200), r.randrange(2, 100)
    if r.random() < 0.5:
        return (f"{one} has {a} {thing}. {two} gives {one} {b} more. How many {thing} does {one} have now?",
                f"{a} + {b} = {a + b}. {one} has {a + b} {thing}.")
    return (f"{one} has {a + b} {thing} and gives {b} to {two}. How many {thing} are left?",
            f"{a + b} - {b} = {a}. {one} has {a} {thing} left.")


def powers(r: random.Random) -> Problem:
    a, n = r.randrange(2, 10), r.randrange(2, 5)
    steps, product = [str(a)], a
    for _ in range(n - 1):
        product *= a
        steps.append(str(product))
    return f"Compute {a}^{n}.", f"{a}^{n} = {' * '.join([str(a)] * n)} = {product}."


KINDS: tuple[Callable[[random.Random], Problem], ...] = (
    addition, subtraction, multiplication, division, linear_equation, quadratic_equation, expansion, fraction_sum,
    percentage, comparison, derivative, sequence, word_problem, powers)


def plain(number: int, question: str, answer: str) -> str:
    return f"{question} {answer}"


def numbered(number: int, question: str, answer: str) -> str:
    return f"{number}. {question}\n   {answer}"


def dialogue(number: int, question: str, answer: str) -> str:
    return f"User: {question}\nAssistant: {answer}\n"


def question_and_answer(number: int, question: str, answer: str) -> str:
    return f"Q: {question}\nA: {answer}"


def sheet(r: random.Random) -> str:
    """One document: problems of a few kinds in one layout."""
    layout = r.choice((plain, numbered, dialogue, question_and_answer))
    kinds = r.sample(KINDS, r.randrange(1, 8))
    return "\n".join(layout(number, *r.choice(kinds)(r)) for number in range(1, PROBLEMS + 1))


def sheets(source: dict, folder: Path, count: int = 11_000) -> list[tuple[str, str]]:
    r = random.Random(1)
    return [(f"sheet/{number:05}", sheet(r)) for number in range(count)]
