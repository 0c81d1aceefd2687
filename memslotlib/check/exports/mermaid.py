"""A trace as the text of a Mermaid sequence diagram, which many forges and editors draw."""

from __future__ import annotations

import re

from ..events import events
from ..trace import Trace, TraceStep

#: What Mermaid would take for its own: comments, ends of statements, directives, HTML, formulas.
_SPECIAL = {
    "#": "#35;",
    ";": "#59;",
    "%": "#37;",
    "<": "#lt;",
    "&": "#amp;",
    "$": "#36;",
    "{": "#123;",
    "}": "#125;",
    "\\": "#92;",
}


def to_mermaid(trace: Trace) -> str:
    """Return a sequence diagram: the actors that step, and what they share, as participants.

    A step is one message, so that Mermaid's own numbers are those of the steps: to ``shared`` when
    it changes something, from ``shared`` when it only reads, else to the actor itself. What it
    breaks or shows is a note below.

    >>> from memslotlib.check import explore
    >>> from memslotlib.check.examples import increment
    >>> print(to_mermaid(explore(increment()).trace()), end="")
    sequenceDiagram
      autonumber
      participant a0 as add_one0
      participant a1 as add_one1
      participant shared
      shared-->>a0: load
      shared-->>a1: load
      a1->>shared: store<br/>counter 0 -> 1<br/>done 0 -> 1
      a0->>shared: store<br/>done 1 -> 2
      Note over a0,shared: BREAKS no lost update: 2 threads are done, the counter is 1
    """
    there = {step.actor for step in trace.steps}
    # A participant's own name could be a word of the language, such as "end".
    names = {actor: f"a{n}" for n, actor in enumerate(trace.actors) if actor in there}
    lines = ["sequenceDiagram"]
    if trace.steps:
        lines.append("  autonumber")
    lines += [f"  participant {name} as {escaped(actor)}" for actor, name in names.items()]
    lines.append("  participant shared")
    told = events(trace)
    for number in range(len(trace) + 1):
        over = "shared"
        if number:
            step = trace.steps[number - 1]
            lines.append(_message(step, names[step.actor]))
            over = f"{names[step.actor]},shared"
        lines += [f"  Note over {over}: {escaped(one.text)}" for one in told if one.step == number]
    return "\n".join(lines) + "\n"


def escaped(text: str) -> str:
    r"""Return text that Mermaid shows as it stands; a line break stays one.

    >>> escaped("a; b # c\nd")
    'a#59; b #35; c<br/>d'
    """
    safe = "".join(_SPECIAL.get(one, one) for one in text.strip())
    # "wrap:" at the beginning of a message is a setting.
    safe = re.sub(r"^((?:no)?wrap):", r"\1#58;", safe)
    return re.sub(r"\s*[\r\n\v\f\x1c-\x1e\x85\u2028\u2029]+\s*", "<br/>", safe)


def _message(step: TraceStep, name: str) -> str:
    lines = [step.label, *(f"{n} {a} -> {b}" for n, (a, b) in step.changes.items())]
    text = "<br/>".join(escaped(line) for line in lines if line.strip()) or "(no label)"
    if step.changes:
        arrow = f"{name}->>shared"
    elif step.reads:
        arrow = f"shared-->>{name}"
    else:
        arrow = f"{name}->>{name}"
    return f"  {arrow}: {text}"
