"""``zerorpc completion bash``: what the shell needs to complete our command lines, for its startup file."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from zerorpc.cli.arguments import parse_with
from zerorpc.cli.flags import Parser
from zerorpc.cli.printing import write
from zerorpc.cli.usage import UsageError, program_name

if TYPE_CHECKING:
    from collections.abc import Sequence

PROGRAMS = ["zerorpc", "zerorpc-client"]
SHELLS = ("bash", "zsh", "fish")
ZSH_FIRST = "(( $+functions[compdef] )) || { autoload -Uz compinit && compinit; }\n"  # it may not be set up yet

EPILOG = """\
put one of these into your shell's startup file:
  eval "$(zerorpc completion bash)"       # ~/.bashrc
  eval "$(zerorpc completion zsh)"        # ~/.zshrc
  zerorpc completion fish | source        # ~/.config/fish/config.fish
"""


def completion(argv: Sequence[str]) -> int:
    """Print it, and return the exit code. Raises UsageError."""
    try:
        words = parse_with(_build_parser(), argv, argparse.Namespace())
    except SystemExit:  # the help is printed, as far as stdout's buffer
        write("")
        return 0
    if len(words) != 1 or words[0] not in SHELLS:
        raise UsageError("the name of your shell is needed", f"type: {program_name()} completion {' | '.join(SHELLS)}")
    try:
        import argcomplete
    except ImportError:
        raise UsageError("the shell's completion needs argcomplete", "type: pip install argcomplete") from None
    shellcode: Any = vars(argcomplete)["shellcode"]  # documented, and not named in its __all__
    write((ZSH_FIRST if words[0] == "zsh" else "") + shellcode(PROGRAMS, shell=words[0]) + "\n")
    return 0


def _build_parser() -> Parser:
    parser = Parser(
        prog=f"{program_name()} completion",
        description="Print what has your shell complete endpoints, methods, modules and flags.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("shell", nargs="?", choices=SHELLS, help="which one you use")
    return parser
