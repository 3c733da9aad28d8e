"""The document of what was tried: its frame, and what the commands printed in the roots of four systems."""

import re
from pathlib import Path

from anywhere_places import EXECUTABLE

LINES_SHOWN = 8
WIDTH = 118
STEPS_NAMED = 4
# What differs from run to run, and what stands for it; in this order.
SUBSTITUTES = (
    (re.compile(r"\b\d{8}T\d{6}Z-[a-z0-9]{6}\b"), "20261123T030000Z-abcdef"),
    (re.compile(r"\b20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ"), "2026-11-23T03:00:00Z"),
    (re.compile(r"\bage1[a-z0-9]{50,}"), "age1fussvs…"),
    (re.compile(r"SHA256:[A-Za-z0-9+/=]+"), "SHA256:…"),
    (re.compile(r"(127\.0\.0\.1|\.test):\d+"), r"\1:2379"),
    (re.compile(r"\d+(\.\d+)? s\b"), "0.1 s"),
    (re.compile(r"\b\d+s( ago|\b)"), r"1s\1"),
    (re.compile(r"\b(?=\w*[a-f])[0-9a-f]{14,16}\b"), "0123456789abcdef"),
    (re.compile(r"\b\d{9,} bytes are free"), "80000000000 bytes are free"),
    (re.compile(r"\b\d{3} KiB"), "640 KiB"),
    (re.compile(r"\b\d+ free pages"), "6 free pages"),
    (re.compile(r"\b(hash: +)[0-9a-f]{8}$", re.MULTILINE), r"\g<1>01234567"),
    (re.compile(r"\b(hashKV: +)\d+"), r"\g<1>1234567890"),
)


def neutral(text):
    """The text with stand-ins for what differs from run to run."""
    for pattern, substitute in SUBSTITUTES:
        text = pattern.sub(substitute, text)
    return text


def shown(text, indent=""):
    """The first lines of an output, cut to the page's width."""
    lines = neutral(text).rstrip().splitlines()
    more = len(lines) - LINES_SHOWN
    kept = [line.rstrip() if len(line) <= WIDTH else line[:WIDTH - 1] + "…" for line in lines[:LINES_SHOWN]]
    return [indent + line for line in kept + ([f"… {more} more lines"] if more > 0 else [])]


def transcript(result):
    """A root's commands with what they printed, as a fenced block."""
    lines = ["```console"]
    for outcome in result.outcomes:
        words = " ".join("age1fussvs…" if str(word).startswith("age1") else str(word) for word in outcome.arguments)
        lines.append(f"# {EXECUTABLE} {neutral(words)}")
        printed = outcome.output if "\0" not in outcome.output else "(a tar archive)"
        lines += shown(outcome.errors) + shown(printed)
        if outcome.code:
            lines.append(f"(exit code {outcome.code})")
    return [*lines, "```", ""]


def verdict(result):
    """What came of a trial, in a few words."""
    if result.skipped:
        return "not tried here: " + result.skipped
    if result.problems:
        return "FAILED"
    declined = {outcome.step: outcome.said for outcome in result.outcomes if outcome.said}
    if not declined:
        return "works: it makes no such call" if result.is_idle else "works"
    sentence = re.sub(r'"[^"\s]*/([^"/]*)"', r'"\1"', next(iter(declined.values())))
    steps = "" if len(declined) > STEPS_NAMED else f" ({', '.join(declined)})"
    return f"says{steps}: {neutral(sentence)}"


def verdicts(results):
    """A table of all trials."""
    rows = (f"| {result.trial.name} | {verdict(result).replace('|', '/')} |" for result in results)
    return ["| trial | outcome |", "|---|---|", *rows]


def write_document(directory, results):
    """Writes anywhere.md."""
    frame = Path(__file__).with_name("anywhere_frame.md").read_text()
    sections = []
    for result in results:
        if result.trial.is_shown:
            sections += [f"### {result.trial.name[0].upper()}{result.trial.name[1:]}", "", *transcript(result)]
    text = frame.replace("{{transcripts}}\n", "\n".join(sections)).replace("{{verdicts}}\n", "\n".join(verdicts(results)) + "\n")
    Path(directory).mkdir(parents=True, exist_ok=True)
    (Path(directory) / "anywhere.md").write_text(text.rstrip() + "\n")
