#!/usr/bin/env python3
"""Draws docs/demo.svg from what `dockveil demo` prints on a terminal.

    docs/demo-svg.py [--check] [BINARY]

BINARY is target/debug/dockveil if none is given. With --check nothing is written: the exit code is 1 if the picture
differs from what the binary prints now. Only Python's standard library is needed.
"""

import difflib
import html
import os
import pathlib
import pty
import re
import select
import signal
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
PICTURE = ROOT / "docs" / "demo.svg"
# The picture ends before this line: what follows holds a port and a path that differ from run to run.
END = "Try it in another shell"
SECONDS = 60

COLUMNS = 80
CELL, LINE, EDGE, BAR, SIZE = 8.4, 18, 16, 34, 14
COLOURS = {"": "#d0d7de", "1": "#ffffff", "31": "#ff7b72", "32": "#7ee787"}
FONT = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', 'Liberation Mono', monospace"


def printed(binary):
    """The text that the demo prints on a terminal, escape sequences included, up to END."""
    leader, follower = pty.openpty()
    environment = {"PATH": os.environ.get("PATH", ""), "TERM": "xterm-256color"}
    child = subprocess.Popen(
        [binary, "demo"], stdin=subprocess.DEVNULL, stdout=follower, stderr=follower, env=environment
    )
    os.close(follower)
    text, last = b"", time.monotonic() + SECONDS
    try:
        while END.encode() not in text:
            if not select.select([leader], [], [], max(0.0, last - time.monotonic()))[0]:
                sys.exit(f"{binary} demo: not done after {SECONDS} seconds")
            try:
                piece = os.read(leader, 65536)
            except OSError:  # The other end is closed.
                piece = b""
            if not piece:
                sys.exit(f"{binary} demo: ended early:\n{text.decode(errors='replace')}")
            text += piece
    finally:
        child.send_signal(signal.SIGTERM)
        child.wait(SECONDS)
        os.close(leader)
    return text.decode().split(END)[0].replace("\r\n", "\n").strip("\n")


def pieces(line):
    """The pieces of a line: column, colour, text."""
    column, colour = 0, ""
    for part in re.split(r"(\x1b\[[0-9;]*m)", line):
        if part.startswith("\x1b["):
            code = part[2:-1]
            colour = "" if code == "0" else code
            if colour not in COLOURS:
                sys.exit(f"no colour for the escape sequence {part!r}")
        elif part:
            text = part.strip(" ")
            if text:
                yield column + len(part) - len(part.lstrip(" ")), colour, text
            column += len(part)


def drawn(lines):
    """The picture of these lines."""
    width, height = COLUMNS * CELL + 2 * EDGE, BAR + len(lines) * LINE + EDGE
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}"'
        f' height="{height:g}" role="img" aria-labelledby="title">',
        "<!-- Made by docs/demo-svg.py from what `dockveil demo` prints. Do not edit. -->",
        '<title id="title">One container, as the engine answers and as a client sees it through dockveil</title>',
        f'<rect width="{width:g}" height="{height:g}" rx="8" fill="#0d1117"/>',
    ]
    for at, colour in enumerate(["#ff5f57", "#febc2e", "#28c840"]):
        out.append(f'<circle cx="{EDGE + 6 + 20 * at}" cy="{BAR / 2:g}" r="6" fill="{colour}"/>')
    out.append(f'<g font-family="{html.escape(FONT)}" font-size="{SIZE}">')
    for number, line in enumerate(lines):
        for column, colour, text in pieces(line):
            weight = ' font-weight="bold"' if colour == "1" else ""
            # The length is stated, so that columns stay aligned in any font.
            out.append(
                f'<text x="{EDGE + column * CELL:.1f}" y="{BAR + number * LINE + 13}" fill="{COLOURS[colour]}"{weight}'
                f' textLength="{len(text) * CELL:.1f}" lengthAdjust="spacingAndGlyphs" xml:space="preserve">'
                f"{html.escape(text, quote=False)}</text>"
            )
    out += ["</g>", "</svg>", ""]
    return "\n".join(out)


def main():
    arguments = sys.argv[1:]
    check = "--check" in arguments
    binary, *rest = [word for word in arguments if word != "--check"] or [str(ROOT / "target/debug/dockveil")]
    if rest or binary.startswith("-"):
        sys.exit(__doc__)
    lines = ["\x1b[1m$ dockveil demo\x1b[0m", ""] + printed(binary).split("\n")
    picture = drawn(lines)
    if not check:
        PICTURE.write_text(picture, encoding="utf-8")
        return
    kept = PICTURE.read_text(encoding="utf-8") if PICTURE.exists() else ""
    if kept != picture:
        sys.stdout.writelines(difflib.unified_diff(kept.splitlines(True), picture.splitlines(True), "kept", "new"))
        sys.exit("docs/demo.svg is out of date: run docs/demo-svg.py and look at the picture")
    print("docs/demo.svg shows what the demo prints")


main()
