"""The parameters of tasks: which values they take, what is stored of these, what comes back."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import InitVar, dataclass, field
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Literal, NewType, Optional
from uuid import UUID

import pydantic
import pytest
from typing_extensions import TypeAliasType

from gaffer import Gaffer, InvalidArguments, InvalidTask
from gaffer.parameters import Parameters
from tests.conftest import quiet

if TYPE_CHECKING:
    from nowhere import Unheard  # type: ignore[import-not-found]

ID = UUID("0190163d-8694-739b-aea5-966c26f8ad91")
NOON = datetime(2026, 2, 3, 12, 0, 0, 5, tzinfo=timezone(timedelta(hours=2)))

CustomerId = NewType("CustomerId", int)
Names = TypeAliasType("Names", list[str])


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class Level(IntEnum):
    LOW = 1
    HIGH = 2


class Opaque(Enum):
    THING = object()


@dataclass(frozen=True)
class Line:
    product: UUID
    price: Decimal
    colours: tuple[Colour, ...] = ()


@dataclass
class Order:
    id: CustomerId
    lines: list[Line]
    placed: datetime | None = None
    note: str = field(default="", kw_only=True)
    total: Decimal = field(init=False)

    def __post_init__(self) -> None:
        if not self.lines:
            raise ValueError("an order has lines")
        self.total = sum((line.price for line in self.lines), Decimal(0))


@dataclass
class Tree:
    name: str
    children: list[Tree] = field(default_factory=list)


@dataclass
class Special(Tree):
    extra: int = 0


@dataclass
class Seeded:
    seed: InitVar[int]


@dataclass
class Holding:
    what: bytes


class Customer(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(strict=True)

    name: str
    born: date
    level: int = pydantic.Field(default=1, alias="customerLevel", ge=1)


def takes(annotation: Any) -> Parameters:
    """Return the parameters of a function whose only one, ``it``, has this annotation."""

    def function(it) -> None: ...  # type: ignore[no-untyped-def]

    function.__annotations__["it"] = annotation
    return Parameters("t", function)


def stored(annotation: Any, value: Any) -> Any:
    """Return what is stored of a value, after its way through JSON."""
    return json.loads(json.dumps(takes(annotation).write((value,), {})))["it"]


LINE = Line(ID, Decimal("9.50"), (Colour.RED, Colour.BLUE))
LINE_STORED = {"product": str(ID), "price": "9.50", "colours": ["red", "blue"]}

VALUES: list[tuple[Any, Any, Any]] = [
    (None, None, None),
    (bool, True, True),
    (int, 2**70, 2**70),
    (int, False, False),
    (float, 2.5, 2.5),
    (float, 2, 2),
    (str, "é", "é"),
    (Any, {"a": [1, None]}, {"a": [1, None]}),
    (list, [1, "a"], [1, "a"]),
    (list[int], [1, 2], [1, 2]),
    (Sequence[Decimal], [Decimal("0.10")], ["0.10"]),
    (tuple, (1, "a"), [1, "a"]),
    (tuple[date, ...], (date(2026, 1, 2),), ["2026-01-02"]),
    (tuple[int, Colour], (1, Colour.RED), [1, "red"]),
    (dict, {"a": 1}, {"a": 1}),
    (dict[str, UUID], {"a": ID}, {"a": str(ID)}),
    (Mapping[str, list[Level]], {"a": [Level.HIGH]}, {"a": [2]}),
    (datetime, NOON, "2026-02-03T12:00:00.000005+02:00"),
    (datetime, datetime(2026, 1, 2), "2026-01-02T00:00:00"),  # noqa: DTZ001
    (date, date(2026, 1, 2), "2026-01-02"),
    (UUID, ID, str(ID)),
    (Decimal, Decimal("1E+3"), "1E+3"),
    (Colour, Colour.BLUE, "blue"),
    (Level, Level.LOW, 1),
    (CustomerId, 7, 7),
    (Names, ["a"], ["a"]),
    (Annotated[date, "of birth"], date(2026, 1, 2), "2026-01-02"),
    (Literal["a", 1, None], 1, 1),
    (Optional[int], None, None),  # noqa: UP045
    (str | int | None, 5, 5),
    (datetime | None, NOON, NOON.isoformat()),
    (Order | Colour | int, Colour.RED, "red"),
    (int | list[Line], [LINE], [LINE_STORED]),
    ("list[Line] | None", [LINE], [LINE_STORED]),
    (Order, Order(CustomerId(7), [LINE], NOON, note="!"),
     {"id": 7, "lines": [LINE_STORED], "placed": NOON.isoformat(), "note": "!"}),
    (Tree, Tree("a", [Tree("b")]),
     {"name": "a", "children": [{"name": "b", "children": []}]}),
    (Customer, Customer(name="Ada", born=date(1815, 12, 10), customerLevel=3),
     {"name": "Ada", "born": "1815-12-10", "customerLevel": 3}),
    (Customer | None, None, None),
]  # fmt: skip


@pytest.mark.parametrize(("annotation", "value", "kept"), VALUES, ids=str)
def test_a_value_is_stored_as_plain_json_and_comes_back_as_it_was(
    annotation: Any, value: Any, kept: Any
) -> None:
    found = stored(annotation, value)

    [back] = takes(annotation).read({"it": found}).args
    assert found == kept
    assert back == value
    assert type(back) is type(value)


@pytest.mark.parametrize(
    ("annotation", "value", "reason"),
    [
        (str, 5, "it: is of type int, not str"),
        (str, Colour.RED, "it: is of type Colour, not str"),
        (int, 2.0, "it: is of type float, not int"),
        (None, 0, "it: is of type int, not None"),
        (date, NOON, "it: is of type datetime, not date"),
        (datetime, date(2026, 1, 2), "it: is of type date, not datetime"),
        (UUID, str(ID), "it: is of type str, not UUID"),
        (Colour, "red", "it: is of type str, not Colour"),
        (list[int], [1, "2"], "it[1]: is of type str, not int"),
        (list[int], (1,), "it: is of type tuple, not list"),
        (Sequence[str], "abc", "it: is of type str, not Sequence"),
        (tuple[int, int], (1,), "it: has 1 items, not 2"),
        (dict[str, int], {"a b": None}, "it['a b']: is of type NoneType, not int"),
        (dict[str, int], {1: 1}, "it: has the key 1; keys must be strings"),
        (Literal["a", "b"], "c", "it: is 'c', not one of 'a', 'b'"),
        (int | None, "1", "it: is of type str, not int | None"),
        (Tree, Special("a"), "it: is of type Special, not Tree"),
        (list[Line] | None, [Line(ID, 9.5)], "it[0].price: is of type float, not Decimal"),  # type: ignore[arg-type]
        (Customer, {"name": "Ada"}, "it: is of type dict, not Customer"),
    ],
    ids=str,
)
def test_a_value_of_another_type_is_refused_and_named_by_its_place(
    annotation: Any, value: Any, reason: str
) -> None:
    with pytest.raises(InvalidArguments) as refused:
        takes(annotation).write((value,), {})

    assert refused.value.reason == reason


def test_a_value_that_holds_itself_is_refused() -> None:
    tree = Tree("a")
    tree.children.append(tree)

    with pytest.raises(InvalidArguments, match="it: holds itself"):
        takes(Tree).write((tree,), {})


@pytest.mark.parametrize(
    ("annotation", "payload", "reason"),
    [
        (datetime, "noon", "it: 'noon' is not the text of a datetime"),
        (date, 5, "it: is of type int, not the text of a date"),
        (Decimal, "ten", "it: 'ten' is not the text of a Decimal"),
        (UUID, "1", "it: '1' is not the text of a UUID"),
        (Colour, "green", "it: 'green' is not the value of a Colour"),
        (tuple[int, int], [1, 2, 3], "it: has 3 items, not 2"),
        (list[Line], [{"product": str(ID)}], "it[0]: no Line can be made of it"),
        (Line, {"product": str(ID), "cost": "1"}, "it: Line has no field 'cost'"),
        (Line, {"product": "x", "price": "1"}, "it.product: 'x' is not the text of a UUID"),
        (Order, {"id": 1, "lines": []}, "it: no Order can be made of it: an order has lines"),
        (Customer, {"name": "Ada"}, "it: no Customer can be made of it"),
        (Order | None, [], "it: is of type list, not Order | None"),
    ],
    ids=str,
)
def test_a_payload_of_another_form_is_refused_and_named_by_its_place(
    annotation: Any, payload: Any, reason: str
) -> None:
    with pytest.raises(InvalidArguments) as refused:
        takes(annotation).read({"it": payload})

    assert refused.value.reason.startswith(reason)


def test_a_field_that_was_added_later_has_its_default() -> None:
    read = takes(Tree).read({"it": {"name": "a"}})

    assert read.args == (Tree("a"),)


@pytest.mark.parametrize(
    ("annotation", "reason"),
    [
        (bytes, "parameter 'it': bytes has no form in JSON"),
        (object, "parameter 'it': object has no form in JSON"),
        (set[int], "parameter 'it': set[int] has no form in JSON"),
        (Callable[[], None], "parameter 'it': collections.abc.Callable[[], None] has no form"),
        (list[bytes], "parameter 'it': bytes has no form in JSON"),
        (dict[int, str], "parameter 'it': a dict with keys other than str has no form"),
        (Opaque, "parameter 'it': Opaque has members whose values are neither text nor integers"),
        (Literal[Colour.RED], "parameter 'it': a Literal of other values"),
        (Seeded, "parameter 'it': Seeded.seed is an InitVar"),
        (Holding, "parameter 'it'.what: bytes has no form in JSON"),
        (str | UUID, "parameter 'it': str | UUID: what is stored would not tell a UUID"),
        (Line | dict[str, int], "parameter 'it': Line | dict: what is stored would not tell"),
        ("Unheard", "parameter 'it': its annotation means nothing: name 'Unheard'"),
        ([int], "parameter 'it': its annotation means nothing"),
    ],
    ids=str,
)
def test_an_annotation_without_a_form_is_refused_when_the_task_is_declared(
    annotation: Any, reason: str, manual: Gaffer
) -> None:
    def function(it: Any) -> None: ...

    function.__annotations__["it"] = annotation

    with pytest.raises(InvalidTask) as refused:
        manual.task(queue="q")(function)

    assert refused.value.reason.startswith(reason)


def test_a_parameter_without_an_annotation_is_refused() -> None:
    def function(it) -> None: ...  # type: ignore[no-untyped-def]

    with pytest.raises(InvalidTask, match="parameter 'it': has no annotation"):
        Parameters("t", function)


def test_a_default_that_could_not_be_stored_is_refused() -> None:
    def function(it: int = "one") -> None: ...  # type: ignore[assignment]

    with pytest.raises(InvalidTask, match="parameter 'it': its default: is of type str, not int"):
        Parameters("t", function)


def test_only_parameters_need_annotations_that_mean_something() -> None:
    def function(it: int) -> Unheard: ...

    assert Parameters("t", function).write((1,), {}) == {"it": 1}


def test_values_of_all_forms_come_through_storage(manual: Gaffer) -> None:
    came: list[Any] = []

    @manual.task(queue="q")
    def keep(order: Order, born: date, customer: Customer | None = None) -> None:
        came.extend([order, born, customer])

    order = Order(CustomerId(7), [LINE], NOON)
    customer = Customer(name="Ada", born=date(1815, 12, 10))
    queue = manual.create_queue("q", worker=manual.tasks("q"), **quiet())
    keep.insert(order, born=date(1912, 6, 23), customer=customer)

    queue.poll()

    assert came == [order, date(1912, 6, 23), customer]


def test_pydantic_is_not_imported_for_tasks_without_models() -> None:
    script = (
        "import sys, gaffer\nfrom dataclasses import dataclass\n"
        "@dataclass\nclass Mail:\n    to: str\n"
        "@gaffer.task(queue='q')\ndef send(mail: Mail) -> None: ...\n"
        "print(send.job(Mail('Ada')).payload, 'pydantic' in sys.modules)"
    )

    ran = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )

    assert (ran.stdout, ran.stderr) == ("{'mail': {'to': 'Ada'}} False\n", "")
