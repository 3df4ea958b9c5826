"""Makes up templates that are right, and data for them, out of a random source.

What we do differently from handlebars.js on purpose (see the README of domain/handlebars) is not made: names looked for
inside of a text, partials that lean on the place of their call, lists of one empty text, `#each` over a number.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any, TypeVar

T = TypeVar("T")

TEXTS = (
    "Ana", "ana maria", "<b>&'\"`=</b>", "Málaga  Ñu", "", "0", "17", "5.5", "-3", "1e3", "true", "false", "a-b_c d", " x ",
    "two\nlines", "17.0", "9.25", "&amp;", "SGk=",
)  # fmt: skip
SINGLE = (
    "name", "Code", "Last Name", "User.UserAttributes.first", "Attributes.plan", "Location.City", "nothing", "User.UserId",
)  # fmt: skip
LISTS = ("items", "Attributes.colors", "User.UserAttributes.tags", "none")
NUMBERS = ("Metrics.score", "Metrics.zero", "Metrics.gone")
LITERALS = ("'x y'", '"<i>"', "17", "5.5", "0", "-2", "true", "false", "''", "'17'", "null")
SIGNS = ("'a'", "' '", "'-'", '"\'"', "'ab'", "''")
BLANKS = ("", "", " ", "\n", "\n  ", "  \n", "x", "<p>", "x\n", "\r\n")


@dataclass(frozen=True)
class Place:
    """What an expression may refer to. `contexts`: from the inside, each root, text, list or object."""

    contexts: tuple[str, ...] = ("root",)
    frames: int = 0
    partial: bool = False
    """Inside of a partial handlebars.js sees neither the contexts of the call nor names around it."""
    names: tuple[str, ...] = ()
    given: tuple[str, ...] = ()
    partials: tuple[tuple[str, str], ...] = ()
    """Partials that may be called: name and what kind of context they are for."""
    used: tuple[str, ...] = ()
    """Lists whose items are contexts already: handlebars.js takes a context that equals the one around it for the same."""

    def inside(self, context: str, path: str, *, frame: bool = False) -> Place:
        """Return the place inside of a block over a list."""
        contexts, used = (context, *self.contexts), (*self.used, path.removeprefix("@root."))
        return replace(self, contexts=contexts, frames=self.frames + frame, used=used)


def written(path: str) -> str:
    """Return a path as templates write it."""
    return ".".join(f"[{part}]" if " " in part else part for part in path.split("."))


class Maker:
    """Makes templates; the same random source makes the same."""

    def __init__(self, random: Random) -> None:
        self._random = random

    def _one(self, options: Sequence[T]) -> T:
        return self._random.choice(options)

    def _chance(self, of: int) -> bool:
        return self._random.randrange(of) == 0

    # -- expressions ------------------------------------------------------------------------------------------------

    def single(self, place: Place) -> str:
        """A path to one text, or to nothing."""
        root = "@root." if place.partial else ""
        options: list[Callable[[], str]] = [
            lambda: root + written(self._one(SINGLE)),
            lambda: root + written(self._one(NUMBERS)),
            lambda: f"{root}{self._one(LISTS)}.[{self._random.randrange(4)}]",
        ]
        if not place.partial:
            options.append(lambda: f"@root.{written(self._one(SINGLE))}")
            for depth, context in enumerate(place.contexts):
                up = "../" * depth
                if depth and context == "root":
                    options.append(lambda up=up: up + written(self._one(SINGLE)))  # type: ignore[misc]
                if depth and context == "text":
                    options.append(lambda up=up: self._one((up.rstrip("/"), up + "this", up + ".")))  # type: ignore[misc]
            if place.contexts[0] == "object":
                options += [lambda: self._one(("first", "this.first", "./first", "tags.[1]", "gone"))] * 2
        if place.contexts[0] == "text":
            options += [lambda: self._one(("this", ".", "./."))] * 3
        if place.contexts[0] == "list":
            options += [lambda: self._one(("this", ".", "this.[0]", "./[1]", "./[2]"))] * 2
        if place.frames:
            options += [lambda: self._one(("@index", "@key", "@first", "@last"))] * 2
        if place.frames > 1 and not place.partial:
            options.append(lambda: self._one(("@../index", "@../last")))
        options += [lambda name=name: name for name in (*place.names, *place.given)]  # type: ignore[misc]
        return self._one(options)()

    def many(self, place: Place) -> str:
        """A path to a list, or to nothing."""
        if place.partial:
            return "@root." + self._one(LISTS)
        if place.contexts[0] == "object" and self._chance(2):
            return self._one(("tags", "this.tags"))
        return self._one(LISTS)

    def fresh(self, place: Place) -> str:
        """A path to a list whose items are no contexts yet."""
        root = "@root." if place.partial else ""
        return root + self._one([path for path in LISTS if path not in place.used])

    def value(self, place: Place, depth: int = 2) -> str:
        """Any argument."""
        kind = self._random.randrange(5)
        if kind == 0 and depth:
            return f"({self.call(place, depth - 1)})"
        return self._one(LITERALS) if kind == 1 else self.single(place)

    def _text(self, place: Place, depth: int) -> str:
        found = self.value(place, depth)
        return "'n'" if found == "null" else found  # null is refused where a text is needed

    def _number(self, place: Place, depth: int) -> str:
        kind = self._random.randrange(3)
        if kind == 0:
            return self._one(("0", "1", "2", "-7", "2.5", "'9'", "100000.25"))
        return f"({self._arithmetic(place, depth - 1)})" if kind == 1 and depth else self.single(place)

    def _arithmetic(self, place: Place, depth: int) -> str:
        name = self._one(("add", "subtract", "multiply", "divide", "modulo", "ceiling", "floor", "round", "ordinalize"))
        first = self._number(place, depth)
        if name == "ordinalize":
            return f"ordinalize {'2' if first in ('2.5', '100000.25') else first}"
        if name in ("ceiling", "floor", "round"):
            return f"{name} {first}"
        return f"{name} {first} {self._number(place, depth)}"

    def condition(self, place: Place, depth: int = 1) -> str:
        """A testing helper with arguments."""
        name = self._one(("eq", "neq", "gt", "gte", "lt", "lte", "and", "or", "not"))
        count = 1 if name == "not" else self._random.randint(2, 3) if name in ("and", "or") else 2
        return " ".join([name, *(self.value(place, depth) for _ in range(count))])

    def call(self, place: Place, depth: int = 2) -> str:
        """A helper with arguments."""
        kind = self._random.randrange(5)
        if kind == 0:
            options = self._one(("", "", " yes='Y'", " no='N' yes=name", " no=''"))
            return self.condition(place, depth) + ("" if place.partial and "name" in options else options)
        if kind == 1:
            return self._arithmetic(place, depth)
        text, whole, sign = self._text(place, depth), self._random.randrange(13), self._one(SIGNS)
        match self._random.randrange(14):
            case 0 | 1:
                name = self._one(("center", "ljust", "rjust"))
                size = self._one((f"{whole}", f"size={whole}", f"size={whole} pad={sign}", f"{whole} {sign}"))
                return f"{name} {text} {size}"
            case 2:
                return f"abbreviate {text} {whole + 4}"
            case 3:
                return f"cut {text} {self._one((sign, ''))}".rstrip()
            case 4:
                return f"replace {text} {sign} {self._one(SIGNS)}"
            case 5:
                return f"substring {text} {whole} {self._one(('', '3', '9'))}".rstrip()
            case 6 | 7:
                return f"join {self.many(place)} {sign}{self._one(('', ' prefix=name', ' suffix=5'))}".replace(
                    "=name", "=@root.name"
                )
            case 8:
                return f"inflect {self._number(place, depth)} 'apple' 'apples'{self._one(('', ' includeCount=true'))}"
            case 9:
                options = self._one(("", " yes=1", " maybe=''", " no=@root.Code"))
                return f"yesno {self.value(place, depth)}{options}"
            case 10:
                index = self._one(("0", "1", "'1'", "@index" if place.frames else "2"))
                return f"lookup {self.many(place)} {index}"
        return f"{self._one(('upper', 'lower', 'capitalize', 'capitalizeFirst', 'slugify', 'stripTags'))} {text}"

    # -- templates --------------------------------------------------------------------------------------------------

    def _tag(self, inner: str) -> str:
        before, after = (self._one(("", "", "", "", "~")) for _ in range(2))
        return f"{{{{{before}{inner}{after}}}}}"

    def _body(self, place: Place, depth: int) -> str:
        return self.template(place, depth - 1) if depth > 0 else self._one(BLANKS)

    def _rest(self, end: str, place: Place, depth: int, *, chains: bool = True) -> str:
        parts = ""
        while chains and self._chance(3):
            parts += self._tag(f"else {self._one((self.condition(place), f'if {self.value(place)}'))}")
            parts += self._body(place, depth)
        if self._chance(2):
            parts += self._tag(self._one(("else", "^"))) + self._body(place, depth)
        return parts + self._tag(f"/{end}")

    def template(self, place: Place = Place(), depth: int = 3) -> str:
        """A template, or the body of a block, with blocks up to so deep."""
        text = self._one(BLANKS)
        if depth > 1 and not place.partial and self._chance(4):
            kind = self._one(("root", "text", "given"))
            name = f"p{len(place.partials)}"
            context = {"root": "root", "text": "text", "given": "made"}[kind]
            others = tuple(one for one in place.partials if one[1] == kind == "root")
            inside = Place((context,), partial=True, given=("k",) if kind == "given" else (), partials=others)
            text += self._tag(f'#*inline "{name}"') + self.template(inside, min(depth - 1, 2)) + self._tag("/inline")
            place = replace(place, partials=(*place.partials, (name, kind)))
        for _ in range(self._random.randrange(4)):
            text += self._piece(place, depth) + self._one(BLANKS)
        return text

    def _piece(self, place: Place, depth: int) -> str:
        path = self.fresh(place)
        item = place.inside("text", path, frame=True)
        match self._random.randrange(16):
            case 0 | 1 | 2:
                return self._tag(self.single(place)) + ","  # without a text between numbers JavaScript adds them up
            case 3 | 4 | 5:
                return self._tag(self.call(place)) + ","
            case 6:
                inner = self._one((self.single(place), self.call(place)))
                return self._one((f"{{{{{{{inner}}}}}}}", f"{{{{&{inner}}}}}")) + ","
            case 7:
                return self._tag("! hm ")
            case 8:
                word, option = self._one(("if", "unless")), self._one(("", "", " includeZero=true"))
                head = self._tag(f"#{word} {self.value(place)}{option}")
                return head + self._body(place, depth) + self._rest(word, place, depth)
            case 9:
                test = self.condition(place)
                name = test.split(" ", maxsplit=1)[0]
                return self._tag(f"#{test}") + self._body(place, depth) + self._rest(name, place, depth)
            case 10 | 11 | 12:
                params = ""
                if not place.partial and self._chance(2):
                    names = (f"v{len(place.names)}", f"i{len(place.names)}")
                    params, item = f" as |{' '.join(names)}|", replace(item, names=(*place.names, *names))
                head = self._tag(f"#each {path}{params}")
                return head + self._body(item, depth) + self._rest("each", place, depth)
            case 13:
                if self._chance(2):
                    return self._tag(f"#{path}") + self._body(item, depth) + self._rest(path, place, depth)
                # Behind the {{else}} of an inverse section stands what is done with each item.
                return self._tag(f"^{path}") + self._body(place, depth) + self._rest(path, item, depth, chains=False)
        return self._over(place, depth, path) if not place.partial and self._chance(2) else self._calls(place)

    def _over(self, place: Place, depth: int, path: str) -> str:
        """A block that changes the context but is no loop."""
        kind = self._one(("object", "list", "text", "result"))
        inside = place.inside("text" if kind == "result" else kind, path)
        match kind:
            case "object" if "object" in place.contexts:
                return ""
            case "object":
                inside, head, word = replace(inside, used=place.used), "#with @root.User.UserAttributes", "with"
            case "list":
                head, word = f"#with {path}", "with"
            case "text":
                head, word = f"#with {path}.[0]", "with"
            case _:
                head, word = f"#upper {path}.[1]", "upper"
        return self._tag(head) + self._body(inside, depth) + self._rest(word, place, depth)

    def _calls(self, place: Place) -> str:
        """A call of each partial that fits the place."""
        calls = ""
        for name, wanted in place.partials:
            if wanted == "given" and not place.partial:
                calls += self._tag(f"> {name} k={self.value(place, 1)}")
            elif wanted == place.contexts[0] and (wanted == "text" or place.contexts == ("root",)):
                calls += self._tag(f"> {name}")
        return calls

    def data(self) -> dict[str, list[str]]:
        """Values by path. Items of lists differ from all other values, as handlebars.js takes equal contexts for one."""
        found: dict[str, list[str]] = {}
        for path in SINGLE:
            if path != "nothing" and not self._chance(5) and (text := self._one(TEXTS)):
                found[path] = [text]
        for number, path in enumerate(LISTS):
            count = 0 if path == "none" else self._one((0, 1, 2, 3, 15))
            items = [f"{self._one(TEXTS)}{chr(0x3B1 + number)}{chr(0x61 + index)}" for index in range(count)]
            if items:
                found[path] = items
        found["Metrics.score"] = [self._one(("4.5", "17", "-2", "0.125"))]
        found["Metrics.zero"] = ["0"]
        return found


def nested(values: dict[str, list[str]]) -> dict[str, Any]:
    """Return values by path as objects, metrics as numbers."""
    root: dict[str, Any] = {"User": {"UserAttributes": {}}, "Attributes": {}, "Metrics": {}, "Location": {}}
    for path, cell in values.items():
        *above, last = path.split(".")
        place = root
        for name in above:
            place = place[name]
        place[last] = float(cell[0]) if path.startswith("Metrics.") else cell
    return root
