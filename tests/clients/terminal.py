"""Runs a command in a terminal of 24 rows and 80 columns: terminal.py [EXPECTED TYPED]... -- COMMAND [ARGUMENT]...

Waits for each expected text and types what follows it. Prints all that the terminal shows, and ends as the command ends."""

import fcntl
import os
import pty
import select
import struct
import sys
import termios

LIMIT = 20  # seconds without output

split = sys.argv.index("--")
dialogue, command = sys.argv[1:split], sys.argv[split + 1 :]
process, terminal = pty.fork()
if process == 0:
    # The parent sets the size before it lets the command start.
    sys.stdin.readline()
    os.execvp(command[0], command)
fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
settings = termios.tcgetattr(terminal)
settings[3] &= ~termios.ECHO
termios.tcsetattr(terminal, termios.TCSANOW, settings)
os.write(terminal, b"\n")
shown = b""
seen = 0
while True:
    if dialogue and (found := shown.find(dialogue[0].encode(), seen)) >= 0:
        seen = found + len(dialogue[0].encode())
        os.write(terminal, dialogue[1].encode().decode("unicode_escape").encode())
        dialogue = dialogue[2:]
        continue
    if not select.select([terminal], [], [], LIMIT)[0]:
        print(f"terminal.py: nothing for {LIMIT} s after {shown!r}", file=sys.stderr)
        os.kill(process, 9)
        break
    try:
        chunk = os.read(terminal, 65536)
    except OSError:
        break
    if not chunk:
        break
    shown += chunk
sys.stdout.buffer.write(shown)
sys.stdout.flush()
sys.exit(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]))
