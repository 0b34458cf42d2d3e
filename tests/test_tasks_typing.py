"""What a type checker makes of tasks: right calls pass, wrong ones are found where they stand."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent

SOURCE = """\
import concurrent.futures

import gaffer

app = gaffer.Gaffer()


@gaffer.task(queue="emails", priority=5, timeout=10)
def send(to: str, body: str = "", *, copies: int = 1) -> str:
    return to


@app.task(queue="numbers")
def double(number: int) -> int:
    return 2 * number


@gaffer.task(queue="emails", colour="red")  # wrong: call-arg
def other() -> None: ...


text: str = send("a", copies=2)
number: int = double(2)
job: gaffer.Job = send.insert("a", body="b")
send.using(delay=60, priority=3).insert(to="a")
jobs: list[gaffer.Job] = gaffer.insert_many("emails", [send.job("a"), send.using(id=None).job("b")])
gaffer.ensure_queue("emails", worker=gaffer.tasks("emails", otherwise={"old": send}))
task: gaffer.Task[[int], int] = double
future: concurrent.futures.Future[int] = double.submit(2)
result: int = double.using(priority=1).submit(number=2).result(timeout=5)
result = double.result(job, timeout=1) + double.future(job.id).result()
anything: concurrent.futures.Future[str] = gaffer.submit("emails", {}, priority=1)

send.insert()  # wrong: call-arg
send.insert(5)  # wrong: arg-type
send.insert("a", cc="b")  # wrong: call-arg
send.job("a", copies="2")  # wrong: arg-type
double.using(priority=1).insert("2")  # wrong: arg-type
send.using(priority="high")  # wrong: arg-type
send.using(kind="k")  # wrong: call-arg
flag: list[int] = double(2)  # wrong: assignment
double.submit("2")  # wrong: arg-type
flag = double.submit(2).result()  # wrong: assignment
gaffer.submit("emails", {}, connection=None)  # wrong: call-arg
"""


def test_a_type_checker_finds_wrong_arguments_of_tasks_and_nothing_else(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(SOURCE)
    expected = [
        (number, found[1])
        for number, line in enumerate(SOURCE.splitlines(), 1)
        if (found := re.search(r"# wrong: (\S+)", line))
    ]

    # With the repository's own settings, so that what its check has cached is read.
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", "--no-error-summary", "--hide-error-context", str(program)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    said = re.findall(
        r"^[^\n]*program\.py:(\d+): error: .*\[(\S+)\]$", checked.stdout, re.MULTILINE
    )
    assert [(int(line), code) for line, code in said] == expected, checked.stdout + checked.stderr
