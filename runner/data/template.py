"""A chat template, rendered as transformers renders it: the same sandbox, filters and globals.

The twin of `transformers.utils.chat_template_utils` (5.23) without its import of 20 cpu seconds.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from runner.data.faults import RowFault
from runner.data.sample import Message
from runner.errors import DataError, Where

if TYPE_CHECKING:
    import jinja2

Span = tuple[int, int]  # characters [start, end) of a rendered text

_LOOP_ATTRIBUTES = {"first", "last", "index", "index0", "length"}
# Noncharacters: Unicode keeps them for a program's own use, and a text that holds one is noticed.
_OPEN, _CLOSE = "\ufdd0", "\ufdd1"


class ChatTemplate:
    """One chat template with the special tokens it may name.

    Args:
        source: the Jinja text.
        variables: bos_token, eos_token … as the template sees them.
        origin: what a person calls it: a file, or the model's tokenizer.
    """

    def __init__(self, source: str, variables: dict[str, str], origin: str) -> None:
        self.source = source
        self.variables = variables
        self.origin = origin
        self.has_generation_markers = bool(re.search(r"\{%-?\s*generation\s*-?%\}", source))
        self.prints_date = "strftime_now" in source
        self._marking = False

    def __reduce__(self) -> tuple[Any, ...]:
        """Send the source to another process, not what was compiled of it."""
        return ChatTemplate, (self.source, self.variables, self.origin)

    def render(self, messages: Sequence[Message], *, add_generation_prompt: bool = False) -> str:
        """Return the text of a conversation, as `apply_chat_template(tokenize=False)` does.

        Raises:
            RowFault: the template refuses the conversation.
            DataError: the template is not valid Jinja.
        """
        template = self._compiled
        variables = {
            **self._variables,
            "messages": list(messages),  # the sandbox keeps a template from changing them
            "add_generation_prompt": add_generation_prompt,
        }
        try:
            # half the time of `template.render`, which merges the globals anew for every row
            context = template.environment.context_class(
                template.environment, variables, template.name, template.blocks
            )
            return "".join(template.root_render_func(context))
        except Exception as error:  # a template is foreign code: whatever it raises is its refusal
            raise RowFault("data-template", _refusal(error, messages)) from None

    def render_marked(self, messages: Sequence[Message]) -> tuple[str, list[Span]]:
        """Return the text and the spans inside `{% generation %}` blocks."""
        self._marking = True
        try:
            marked = self.render(messages)
        finally:
            self._marking = False
        text, spans, start = "", [], 0
        for piece in re.split(f"([{_OPEN}{_CLOSE}])", marked):
            if piece == _OPEN:
                start = len(text)
            elif piece == _CLOSE:
                spans.append((start, len(text)))
            else:
                text += piece
        return text, spans

    @cached_property
    def _variables(self) -> dict[str, Any]:
        known = {"tools": None, "documents": None, **self.variables}
        return {**self._compiled.globals, **known}

    @cached_property
    def _compiled(self) -> jinja2.Template:
        import jinja2  # 50 ms that a start from the cache does not need

        try:
            return _environment(self._mark).from_string(self.source)
        except jinja2.TemplateSyntaxError as error:
            raise DataError(
                id="data-bad-template",
                what=f"the chat template is not valid Jinja: {error.message}",
                where=Where(file=self.origin, line=error.lineno),
                why="no conversation can be turned into text",
                fix="mend that line, or set `data.chat_template` to another template",
            ) from error

    def _mark(self, text: str) -> str:
        return f"{_OPEN}{text}{_CLOSE}" if self._marking else text


def _refusal(error: Exception, messages: Sequence[Message]) -> str:
    """Return a template's own words, unless they repeat text of the conversation."""
    import jinja2

    name = type(error).__name__
    if not isinstance(error, jinja2.TemplateError) or not error.message:
        return f"it fails with {name}"
    words = error.message[:200]
    repeats = any(
        piece in words
        for message in messages
        for piece in (message["content"], *message["content"].split("\n"))
        if len(piece) >= 8
    )
    return f"it fails with {name}" if repeats else f"it says: {words}"


def _environment(mark: Callable[[str], str]) -> jinja2.Environment:
    import jinja2.ext
    import jinja2.runtime
    import jinja2.sandbox

    class Generation(jinja2.ext.Extension):
        """`{% generation %} … {% endgeneration %}`: the part the model writes itself."""

        tags = {"generation"}  # noqa: RUF012  # jinja2 declares it so

        def parse(self, parser: Any) -> Any:
            line = next(parser.stream).lineno
            body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
            call = self.call_method("_mark")
            return jinja2.nodes.CallBlock(call, [], [], body).set_lineno(line)

        def _mark(self, caller: Any) -> str:
            return mark(caller())

    class Environment(jinja2.sandbox.ImmutableSandboxedEnvironment):
        """The sandbox, quicker at what templates do for every turn: message.role, loop.first."""

        def getattr(self, obj: Any, attribute: str) -> Any:
            kind = type(obj)
            if kind is dict and attribute in obj and not hasattr(dict, attribute):
                return obj[attribute]
            if kind is jinja2.runtime.LoopContext and attribute in _LOOP_ATTRIBUTES:
                return getattr(obj, attribute)
            return super().getattr(obj, attribute)

    environment = Environment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols]
    )
    environment.filters["tojson"] = _tojson
    environment.globals["raise_exception"] = _raise_exception
    environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    return environment


def _tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    return json.dumps(
        value,
        ensure_ascii=ensure_ascii,
        indent=indent,
        separators=separators,
        sort_keys=sort_keys,
    )


def _raise_exception(message: str) -> None:
    import jinja2

    raise jinja2.TemplateError(message)
