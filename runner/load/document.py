"""YAML text → plain data, with the place of every key; scalars as in YAML 1.2.

PyYAML reads YAML 1.1, where `off` is a boolean, `1e-4` a string, `012` is ten and `12:30` is 750.
Here its scanner and composer are kept and the resolution of scalars is the core schema of YAML 1.2
(yaml.org/spec/1.2.2, §10.3.2), which is also JSON's: true, false, null, decimal integers, floats.
Octal and hexadecimal numbers stay strings, so that nothing turns into a number unseen.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from yaml import MappingNode, MarkedYAMLError, Node, ScalarNode, SequenceNode, YAMLError
from yaml.composer import Composer
from yaml.error import Mark
from yaml.parser import Parser
from yaml.reader import Reader, ReaderError
from yaml.resolver import BaseResolver
from yaml.scanner import Scanner

from runner.errors import Faults, JobError, TrainboxError, Where
from runner.load.credentials import shown, token_kind

KeyPath = tuple[str | int, ...]  # ("data", "train", 0, "path")

MAX_DEPTH = 32  # a job is 6 deep
MAX_NODES = 10_000  # a job has about 100; also bounds what aliases may expand to
MAX_DIGITS = 30  # longer numbers stay strings: Python refuses to convert thousands of digits

_TAG = "tag:yaml.org,2002:"
_NULL, _BOOL, _INT, _FLOAT, _STR, _MERGE, _MAP, _SEQ = (
    _TAG + name for name in ("null", "bool", "int", "float", "str", "merge", "map", "seq")
)
_SCALARS = (_NULL, _BOOL, _INT, _FLOAT, _STR, _MERGE)
_DECIMAL = rf"(?:0|[1-9][0-9]{{0,{MAX_DIGITS}}})"
_PATTERNS = {
    _NULL: re.compile(r"~|null|Null|NULL|"),
    _BOOL: re.compile(r"true|True|TRUE|false|False|FALSE"),
    _INT: re.compile(rf"[-+]?{_DECIMAL}"),
    _FLOAT: re.compile(
        rf"[-+]?(?:\.[0-9]+|{_DECIMAL}(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
        r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
    ),
    _MERGE: re.compile(r"<<"),
}


@dataclass(frozen=True)
class Place:
    """Where a key or list item stands, and its scalar as written."""

    where: Where | str  # a str for `--set …`
    written: str | None = None  # None for a mapping or list


@dataclass
class Document:
    """The data of a job, and where each part of it was written."""

    data: Any
    places: dict[KeyPath, Place] = field(default_factory=dict)

    def where(self, path: KeyPath) -> Where | str:
        """Return the place of a key, or of the nearest section around it."""
        for length in range(len(path), -1, -1):
            if place := self.places.get(path[:length]):
                return place.where
        return ""

    def written(self, path: KeyPath) -> str | None:
        """Return the scalar at a path as the file has it (`1_000`), if it is one."""
        place = self.places.get(path)
        return place.written if place else None

    def value(self, path: KeyPath) -> Any:
        """Return the value at a path.

        Raises:
            LookupError: nothing stands there.
        """
        node = self.data
        for part in path:
            if not isinstance(node, dict | list):
                raise LookupError(path)
            node = node[part]  # type: ignore[index]  # a wrong kind of part is a LookupError too
        return node


def parse(text: str, where: Where | str) -> Document:
    """Parse one YAML document; `where` is its file, or the override it is the value of.

    Raises:
        JobError, Faults: not YAML, several documents, duplicate keys, object tags, absurd nesting.
    """
    loader: _Loader | None = None
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
    except YAMLError as error:
        raise _syntax_fault(error, text, where) from error
    except (ValueError, OverflowError) as error:  # chr() of an escape such as "\\UFFFFFFFF"
        mark = loader.get_mark() if loader else None
        what = "an escape names no character"
        raise _syntax("job-yaml-syntax", what, _at(where, mark), "remove the escape") from error
    builder = _Builder(where)
    data = builder.build(node, ()) if node is not None else None
    if builder.faults:
        raise Faults(builder.faults)
    return Document(data, builder.places)


class _Loader(Reader, Scanner, Parser, Composer, BaseResolver):
    """PyYAML's scanner, parser and composer with the scalars and the tabs of YAML 1.2."""

    def __init__(self, text: str) -> None:
        Reader.__init__(self, text)
        Scanner.__init__(self)
        Parser.__init__(self)
        Composer.__init__(self)
        BaseResolver.__init__(self)
        self.depth = 0
        self.num_nodes = 0

    def resolve(self, kind: type[Node], value: Any, implicit: Any) -> str:
        """Return the tag of a node that has none."""
        if kind is not ScalarNode:
            return _MAP if kind is MappingNode else _SEQ
        if implicit[0]:  # plain, not quoted
            for tag, pattern in _PATTERNS.items():
                if pattern.fullmatch(value):
                    return tag
        return _STR

    def compose_node(self, parent: Node | None, index: Any) -> Node | None:
        self.depth += 1
        self.num_nodes += 1
        if self.depth > MAX_DEPTH or self.num_nodes > MAX_NODES:
            event = self.peek_event()  # type: ignore[no-untyped-call]  # of PyYAML's stubs
            raise MarkedYAMLError(problem="too large", problem_mark=event.start_mark)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def scan_to_next_token(self) -> None:
        """Skip tabs where YAML 1.2 takes them as spaces: anywhere but in the indentation."""
        super().scan_to_next_token()
        while self.peek() == "\t":
            blanks = (
                len(self.buffer) - self.pointer - len(self.buffer[self.pointer :].lstrip("\t "))
            )
            if not self.flow_level and self._is_indentation(blanks):
                return  # PyYAML refuses the tab
            self.forward(blanks)
            super().scan_to_next_token()

    def _is_indentation(self, blanks: int) -> bool:
        before = self.buffer[self.pointer - self.column : self.pointer]
        return not before.strip() and self.peek(blanks) not in "#\r\n\0"


class _Builder:
    """Turns composed nodes into plain data, noting places and collecting faults."""

    def __init__(self, root: Where | str) -> None:
        self.root = root
        self.places: dict[KeyPath, Place] = {}
        self.faults: list[TrainboxError] = []
        self.num_nodes = 0
        self.merging: list[Node] = []  # a merge key may point at what it stands in

    def build(self, node: Node, path: KeyPath) -> Any:
        self._count(node, path)
        written = node.value if isinstance(node, ScalarNode) else None
        self.places.setdefault(path, Place(self._where(node), written))
        if isinstance(node, MappingNode) and node.tag == _MAP:
            return self._mapping(node, path)
        if isinstance(node, SequenceNode) and node.tag == _SEQ:
            return [self.build(item, (*path, i)) for i, item in enumerate(node.value)]
        if isinstance(node, ScalarNode) and node.tag in _SCALARS:
            return self._scalar(node)
        self.faults.append(
            JobError(
                id="job-yaml-tag",
                what=f"the tag {shown(node.tag.removeprefix(_TAG))} is not allowed in a job",
                where=self._where(node),
                why="tags make objects, and some run code; a job is text, numbers and lists",
                fix="remove the tag (`!…`) and write the plain value",
            )
        )
        return None

    def _mapping(self, node: MappingNode, path: KeyPath) -> dict[str, Any]:
        data: dict[str, Any] = {}
        own: dict[str, Node] = {}
        for key_node, value_node, merged in self._pairs(node):
            if not isinstance(key_node, ScalarNode):
                self.faults.append(self._bad_key(key_node))
                continue
            key = key_node.value
            if not merged and key in own:
                self.faults.append(self._duplicate(key, own[key], key_node))
                continue
            if merged and key in data:
                continue  # the mapping's own key, or an earlier merge, wins
            if not merged:
                own[key] = key_node
            written = value_node.value if isinstance(value_node, ScalarNode) else None
            self.places[(*path, key)] = Place(self._where(key_node), written)
            data[key] = self.build(value_node, (*path, key))
        return data

    def _pairs(self, node: MappingNode) -> Iterator[tuple[Node, Node, bool]]:
        """Yield (key, value, merged) of a mapping: its own pairs first, then those of `<<`."""
        merges: list[Node] = []
        for key_node, value_node in node.value:
            if key_node.tag != _MERGE:
                yield key_node, value_node, False
            elif isinstance(value_node, SequenceNode):
                merges += value_node.value
            else:
                merges.append(value_node)
        for source in merges:
            self._count(source, ())
            if not isinstance(source, MappingNode) or source in self.merging or source is node:
                self.faults.append(self._bad_merge(source))
                continue
            self.merging.append(source)
            for key_node, value_node, _ in self._pairs(source):
                yield key_node, value_node, True
            self.merging.pop()

    def _scalar(self, node: ScalarNode) -> Any:
        text: str = node.value
        if node.tag == _STR or node.tag == _MERGE:
            return self._string(node)
        if not _PATTERNS[node.tag].fullmatch(text):  # `!!int abc`
            return self._string(node)
        if node.tag == _NULL:
            return None
        if node.tag == _BOOL:
            return text.lower() == "true"
        if node.tag == _INT:
            return int(text)
        return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))

    def _string(self, node: ScalarNode) -> str:
        """Return the string; JSON's pairs of surrogates become the one character they mean."""
        text: str = node.value
        try:
            text = text.encode("utf-16", "surrogatepass").decode("utf-16")
            bad = next((c for c in text if ord(c) < 32 and c not in "\n\t"), None)
        except UnicodeDecodeError:
            bad = "half of a surrogate pair"
        if bad is not None:
            self.faults.append(
                JobError(
                    id="job-control-character",
                    what=f"a value holds the character {bad!r}",
                    where=self._where(node),
                    why="no name, path or number of a job can hold it",
                    fix="remove the escape (`\\0`, `\\x…`) from the value",
                )
            )
            return ""
        return text

    def _count(self, node: Node, path: KeyPath) -> None:
        self.num_nodes += 1
        if self.num_nodes > MAX_NODES or len(path) > MAX_DEPTH:
            raise JobError(
                id="job-yaml-too-large",
                what=f"the job expands to more than {MAX_NODES:,} values or {MAX_DEPTH} levels",
                where=self._where(node),
                why="aliases that multiply (or contain themselves) would fill the memory",
                fix="write the values out; a job has about a hundred",
            )

    def _where(self, node: Node) -> Where | str:
        return _at(self.root, node.start_mark)

    def _bad_key(self, node: Node) -> JobError:
        return JobError(
            id="job-yaml-key",
            what="a list or mapping stands where the name of a key is expected",
            where=self._where(node),
            why="keys of a job are words",
            fix="write `key: value`; a value that begins with `{` or `[` goes after the colon",
        )

    def _duplicate(self, key: str, first: Node, second: Node) -> JobError:
        return JobError(
            id="job-duplicate-key",
            what=f"the key {shown(key)} stands twice, at line {first.start_mark.line + 1} "
            f"and line {second.start_mark.line + 1}",
            where=self._where(second),
            why="one of the two values would be ignored without a word",
            fix="remove one of the two lines",
        )

    def _bad_merge(self, node: Node) -> JobError:
        return JobError(
            id="job-yaml-merge",
            what="`<<` needs an alias of another mapping, or a list of them",
            where=self._where(node),
            why="there is nothing to merge",
            fix="write `<<: *name`, where `&name` marks a mapping above",
        )


def _at(root: Where | str, mark: Mark | None) -> Where | str:
    if isinstance(root, str) or mark is None:
        return root
    return Where(file=root.file, line=mark.line + 1)


# PyYAML's problem (its beginning) → (our id, what, fix). First match counts.
_PROBLEMS: tuple[tuple[str, str, str, str], ...] = (
    (
        "found character '\\t'",
        "job-yaml-tab",
        "a tab stands in the indentation",
        "indent with spaces; `expand -t 2 FILE` rewrites the file",
    ),
    (
        "expected a single document",
        "job-yaml-documents",
        "a second document (`---`) begins here",
        "keep one job in a file",
    ),
    (
        "but found another document",
        "job-yaml-documents",
        "a second document (`---`) begins here",
        "keep one job in a file",
    ),
    (
        "too large",
        "job-yaml-too-large",
        f"here the file passes {MAX_NODES:,} values or {MAX_DEPTH} levels",
        "a job has about a hundred values: compare with jobs/demo.yaml",
    ),
    (
        "mapping values are not allowed",
        "job-yaml-syntax",
        "a colon stands where no key can be",
        'indent the line like its neighbours, or quote a value that holds a colon: "a: b"',
    ),
    (
        "could not find expected ':'",
        "job-yaml-syntax",
        "a line has no colon after its key",
        "write `key: value`",
    ),
    (
        "expected <block end>",
        "job-yaml-syntax",
        "the indentation does not fit the lines above",
        "give all keys of a section the same number of spaces",
    ),
    (
        "found undefined alias",
        "job-yaml-syntax",
        "`*…` names an anchor that is not defined above",
        'define it with `&name`, or quote a value that begins with a star: "*"',
    ),
    (
        "found unexpected end of stream",
        "job-yaml-syntax",
        "a quote or bracket is not closed",
        "close it",
    ),
    (
        "while scanning a quoted scalar",
        "job-yaml-syntax",
        "a quote is not closed, or holds an escape YAML does not know",
        "close it; write paths in single quotes",
    ),
    (
        "expected ',' or",
        "job-yaml-syntax",
        "a bracket is not closed, or a comma is missing",
        "write `[a, b]` or `{key: value, other: value}`",
    ),
    (
        "cannot start any token",
        "job-yaml-syntax",
        "a value begins with a character that YAML keeps for itself",
        "quote the value",
    ),
)


def _syntax_fault(error: YAMLError, text: str, where: Where | str) -> JobError:
    """Return what PyYAML says as a fault; nothing of the file's text is repeated."""
    mark, said = None, str(error)
    if isinstance(error, MarkedYAMLError):
        is_unclosed = "unexpected end of stream" in (error.problem or "")
        mark = error.context_mark if is_unclosed else error.problem_mark  # where the quote opens
        mark = mark or error.problem_mark
        said = " ".join(part for part in (error.problem, error.context) if part)
    elif isinstance(error, ReaderError):
        line = text.count("\n", 0, error.position) + 1
        where = where if isinstance(where, str) else Where(file=where.file, line=line)
        said = "control character"
    for sign, id, what, fix in _PROBLEMS:
        if sign in said:
            return _syntax(id, what, _at(where, mark), fix)
    is_fit = len(said) < 100 and not token_kind(said)
    what = f"this is not YAML ({said})" if is_fit else "this is not YAML"
    return _syntax("job-yaml-syntax", what, _at(where, mark), "compare with jobs/demo.yaml")


def _syntax(id: str, what: str, where: Where | str, fix: str) -> JobError:
    return JobError(
        id=id, what=what, where=where, why="the job cannot be read beyond this point", fix=fix
    )
