"""Take out of a text what looks like a secret.

It errs on the side of taking out: a checksum of 64 hexadecimal digits has the form of a wireless key and goes too.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

_Replacement = str | Callable[[re.Match[str]], str]

# A name that ends in one of these is that of a secret: WIFI_PASSWORD, PreSharedKey, apiToken, hashed_password.
_NAMES = (
    r"(?:passwords?|passwd|passphrase|passcode|password[-_ ]?hash|psk|pre[-_ ]?shared[-_ ]?key|secrets?"
    r"|secret[-_ ]?key|private[-_ ]?key|signing[-_ ]?key|api[-_ ]?key|access[-_ ]?key|tokens?|credentials?"
    r"|authorization|cookie|session[-_ ]?id)"
)
_QUOTED = r"\"(?:\\.|[^\"\\])*\"?|'(?:\\.|[^'\\])*'?|\\\"(?:[^\"\\]|\\[^\"])*(?:\\\")?"
# Words to the end of the line, or to the next name with a value, for a passphrase may have spaces; not what an earlier
# rule has put there; and not the quote that ends a text around all of it, as in a line of JSON.
_WORD = r"(?:[^\s,;&})\]\"']|[\"'](?![\s,;})\]]|\Z))+"
_BARE = rf"(?!\[[a-z ]+ removed\]){_WORD}(?:[ \t]+(?![A-Za-z_][\w.-]{{0,40}}[=:]){_WORD})*"
_LEAST_MIXED = 60

_KEY_BEGINS = re.compile(r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY-----")
_KEY_ENDS = re.compile(r"-----END [A-Z0-9 ]{0,40}PRIVATE KEY-----")
# The longest key that ssh-keygen makes has half as many lines.
_KEY_LINES = 400
_BODY = re.compile(r"[A-Za-z0-9+/=]{16,}\s*\Z")


@dataclass(frozen=True, slots=True)
class _Rule:
    name: str
    pattern: re.Pattern[str]
    replacement: _Replacement


def _rule(name: str, pattern: str, replacement: _Replacement | None = None, flags: int = 0) -> _Rule:
    return _Rule(name, re.compile(pattern, flags), replacement or f"[{name} removed]")


def _mixed(match: re.Match[str]) -> str:
    """Take out a long run of base64; a path or a word that is as long has no digits or only one case."""
    text = match[0]
    if any(each.isdigit() for each in text) and text.upper() != text and text.lower() != text:
        return "[long base64 removed]"
    return text


def _value(match: re.Match[str]) -> str:
    """Take out the value of a name; the quotes around it stay, so that a line of JSON stays one."""
    value = match[0][len(match["name"]) :]
    quote = next((each for each in ('\\"', '"', "'") if value.startswith(each)), "")
    return f"{match['name']}{quote}[secret removed]{quote}"


_RULES = (
    # Any method of crypt(5), and Argon2's and scrypt's own notation.
    _rule(
        "password hash", r"\$(?:y|gy|7|6|5|3|2[abxy]?|1|sha1|md5|apr1|argon2\w*|scrypt)\$[^\s:;,'\"`<>|\\]+"
    ),
    _rule("token", r"\b(?:Bearer|Basic|Negotiate)\s+[A-Za-z0-9._~+/=-]{8,}", flags=re.IGNORECASE),
    _rule("token", r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*)?"),
    _rule("token", r"\b(?:gh[a-z]_|github_pat_|glpat-|xox[a-z]-|sk-|AKIA)[A-Za-z0-9_-]{12,}"),
    _rule("password in an address", r"(?<=://)[^\s/@:]*:[^\s/@]+(?=@)"),
    _rule(
        "secret",
        rf"(?P<name>{_NAMES}(?:\\?[\"'])?\s*(?:=>|:=|[=:])\s*)(?:{_QUOTED}|{_BARE})",
        _value,
        re.IGNORECASE,
    ),
    _rule(
        "secret",
        rf"(?P<name>--?[A-Za-z0-9-]{{0,40}}{_NAMES}\s+)(?:{_QUOTED}|[^\s-]\S*)",
        _value,
        re.IGNORECASE,
    ),
    _rule("64 hexadecimal digits", r"(?<![0-9A-Za-z])[0-9A-Fa-f]{64}(?![0-9A-Za-z])"),
    _rule("long base64", rf"(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{{{_LEAST_MIXED},}}={{0,2}}", _mixed),
)


def redact(text: str) -> tuple[str, dict[str, int]]:
    """Take out what looks like a secret.

    Parameters
    ----------
    text
        Any text.

    Returns
    -------
    str
        The text with a note in the place of each secret.
    dict
        How many of which kind were taken out.
    """
    counts: dict[str, int] = {}
    text, keys = _without_private_keys(text)
    if keys:
        counts["private key"] = keys
    for rule in _RULES:

        def replace(match: re.Match[str], rule: _Rule = rule) -> str:
            new = (
                match.expand(rule.replacement)
                if isinstance(rule.replacement, str)
                else rule.replacement(match)
            )
            if new != match[0]:
                counts[rule.name] = counts.get(rule.name, 0) + 1
            return new

        text = rule.pattern.sub(replace, text)
    return text, dict(sorted(counts.items()))


def _without_private_keys(text: str) -> tuple[str, int]:
    """Take out private keys, whatever a journal puts before each of their lines.

    An excerpt may begin or end inside a key: without a last line as many go as a key can have, without a first one
    those before it that end as a key's lines do.
    """
    if not (_KEY_BEGINS.search(text) or _KEY_ENDS.search(text)):
        return text, 0
    count = 0
    kept: list[str] = []
    inside = 0  # how many more lines a key that has begun may have
    for line in text.split("\n"):
        shown, rest = "", line
        while rest:
            mark = (_KEY_ENDS if inside else _KEY_BEGINS).search(rest)
            if inside:
                inside = 0 if mark else inside - 1
                rest = rest[mark.end() :] if mark else ""
            elif mark:
                count += 1
                inside = _KEY_LINES
                shown += rest[: mark.start()] + "[private key removed]"
                rest = rest[mark.end() :]
            else:
                shown, rest = shown + rest, ""
        orphan = _KEY_ENDS.search(shown)
        if orphan:
            count += 1
            while kept and _BODY.search(kept[-1]):
                kept.pop()
            shown = "[private key removed]" + shown[orphan.end() :]
        if shown or not line:
            kept.append(shown)
    return "\n".join(kept), count
