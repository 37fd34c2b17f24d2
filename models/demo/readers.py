"""Turn an unpacked package into documents: a list of (name, text), in a fixed order.

A document is the unit that is held out: a source file, a help page, or a chapter of a book.
"""
import html
import re
import struct
import subprocess
import zlib
from collections import Counter
from pathlib import Path

from arithmetic import sheets

Document = tuple[str, str]


def read(source: dict, folder: Path) -> list[Document]:
    """All documents of one `sources` entry of recipe.json."""
    return READERS[source.get("reader", "files")](source, folder)


def matching(source: dict, folder: Path) -> list[Path]:
    include, exclude = re.compile(source["include"]), re.compile(source.get("exclude", "$^"))
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file() and not path.is_symlink())
    names = ((path, path.relative_to(folder).as_posix()) for path in paths)
    return [path for path, name in names if include.search(name) and not exclude.search(name)]


def files(source: dict, folder: Path) -> list[Document]:
    """Source files, without minified ones and tables of data (a line of 1,000 characters is neither written nor read by people)."""
    documents = []
    for path in matching(source, folder):
        text = path.read_text(encoding="utf-8", errors="ignore").replace("\r\n", "\n").strip()
        if len(text) >= 400 and path.stat().st_size <= 400_000 and max(map(len, text.split("\n"))) < 1000:
            documents.append((path.relative_to(folder).as_posix(), text))
    return documents


INVISIBLE = re.compile(r"<(script|style|head|nav|header|footer|aside)\b.*?</\1>|<!--.*?-->", re.S | re.I)
BLOCK_END = re.compile(r"</?(p|div|h\d|li|ul|ol|dl|dt|dd|tr|table|pre|br|section|blockquote)\b[^>]*>", re.I)
TAG = re.compile(r"<[^>]+>")


def pages(source: dict, folder: Path) -> list[Document]:
    """The text of HTML pages, one block a line; a line found on over 5 % of the pages is navigation and goes."""
    documents = []
    for path in matching(source, folder):
        raw = path.read_text(encoding="utf-8", errors="ignore")
        raw = TAG.sub("", BLOCK_END.sub("\x00", re.sub(r"\s+", " ", INVISIBLE.sub(" ", raw))))
        lines = [re.sub(r"[ \xa0]+", " ", line).strip() for line in html.unescape(raw).split("\x00")]
        documents.append((path.relative_to(folder).as_posix(), [line for line in lines if line]))
    seen = Counter(line for _, lines in documents for line in set(lines))
    limit = max(3, 0.05 * len(documents))
    texts = ((name, "\n".join(line for line in lines if seen[line] <= limit)) for name, lines in documents)
    return [(name, text) for name, text in texts if len(text) >= 400]


def austen(source: dict, folder: Path) -> list[Document]:
    """The novels from an R package's lazy-load database, by chapter."""
    database = next(folder.rglob("data/Rdata.rdb")).read_bytes()
    documents = []
    for novel, lines in enumerate(r_character_vectors(database)):
        text = re.sub(r"\n{2,}", "\n\n", "\n".join(lines))
        chapters = re.split(r"\n(?=(?:CHAPTER|Chapter|LETTER) [IVXLC\d]+)", text)
        paragraphs = (re.sub(r"(?<!\n)\n(?!\n)", " ", chapter).replace("\n\n", "\n").strip() for chapter in chapters)
        documents += [(f"austen/{novel}/{number:03}", text) for number, text in enumerate(paragraphs) if len(text) >= 400]
    return documents


def r_character_vectors(database: bytes) -> list[list[str]]:
    """Every character vector in an R lazy-load database: chunks of a big-endian length, then a zlib stream of R's XDR serialisation."""
    vectors, at = [], 0
    while at + 4 < len(database):
        inflate = zlib.decompressobj()
        try:
            data = inflate.decompress(database[at + 4:])
        except zlib.error:
            at += 1
            continue
        at = len(database) - len(inflate.unused_data)
        vector = character_vector(data)
        if len(vector) > 1000:
            vectors.append(vector)
    return vectors


def character_vector(data: bytes) -> list[str]:
    """The elements of a serialised STRSXP (type 16), each a CHARSXP (type 9) of flags, length, bytes."""
    start = re.search(rb"\x00\x00\x00\x10(....)(?=\x00.\x00\x09)", data, re.S)
    if not start:
        return []
    at, elements = start.end(), []
    for _ in range(struct.unpack(">i", start[1])[0]):
        length = struct.unpack_from(">i", data, at + 4)[0]
        at += 8
        elements.append("" if length < 0 else data[at:at + length].decode("utf-8", "ignore"))
        at += max(length, 0)
    return elements


def king_james(source: dict, folder: Path) -> list[Document]:
    """The verses, by chapter, as the package's own program prints them."""
    program, data = next(folder.rglob("bin/bible")), next(folder.rglob("bible.data")).parent
    printed = subprocess.run([program, "-p", f"{data}/", "Gen1:1-Rev22:21"], capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL)
    chapters: dict[str, list[str]] = {}
    for line in printed.stdout.split("\n"):
        if heading := re.fullmatch(r"(\w[\w ]*) (\d+)", line):
            verses = chapters.setdefault(f"{heading[1]} {heading[2]}", [])
        elif verse := re.match(r" +\d+ (.*)", line):
            verses.append(verse[1])
        elif line:  # a wrapped verse goes on
            verses[-1] += " " + line
    numbered = number_books(chapters)
    return [(f"bible/{key}", "\n".join(verses)) for key, verses in numbered.items()]


def number_books(chapters: dict[str, list[str]]) -> dict[str, list[str]]:
    """Chapters keyed `<book number>.<chapter>`, so that two translations call the same chapter by one name."""
    books: list[str] = []
    numbered = {}
    for key, verses in chapters.items():
        book, chapter = key.rsplit(" ", 1)
        if book not in books:
            books.append(book)
        numbered[f"{len(books)}.{chapter}"] = verses
    return numbered


def world_english(source: dict, folder: Path) -> list[Document]:
    """The same from a SWORD module."""
    from pysword.modules import SwordModules
    library = SwordModules(str(folder / "usr" / "share" / "sword"))
    (module,) = library.parse_modules()
    bible = library.get_bible_from_module(module)
    books = [book for testament in bible.get_structure().get_books().values() for book in testament]
    documents = []
    for number, book in enumerate(books, 1):
        for chapter in range(1, book.num_chapters + 1):
            verses = [verse.strip() for verse in bible.get_iter(books=[book.name], chapters=[chapter]) if verse.strip()]
            documents.append((f"bible/{number}.{chapter}", re.sub(r"[ \t]+", " ", "\n".join(verses))))
    return [(name, text) for name, text in documents if text]


READERS = {"files": files, "html": pages, "austen": austen, "king_james": king_james, "world_english": world_english,
           "arithmetic": sheets}
