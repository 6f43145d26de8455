"""Reads what is needed of a CEL expression's text: which variables it names, and how names are escaped."""

import re

_TOKEN = re.compile(
    r"(?P<string>[rRbB]{0,2}(?:\"\"\"(?:.|\n)*?\"\"\"|'''(?:.|\n)*?'''|\"(?:[^\"\\\n]|\\.)*\"|'(?:[^'\\\n]|\\.)*'))"
    r"|(?P<comment>//[^\n]*)|(?P<name>[A-Za-z_]\w*)|(?P<number>\d[\w.]*)|(?P<sign>.)",
    re.DOTALL,
)
_RESERVED = frozenset((
    "true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function", "if", "import", "let",
    "loop", "package", "namespace", "return", "var", "void", "while",
))  # fmt: skip
_SIGNS = (("__", "__underscores__"), (".", "__dot__"), ("-", "__dash__"), ("/", "__slash__"))


def escape(name: str) -> str:
    """A field's name as expressions write it; '' when they can't name it."""
    if name in _RESERVED:
        return f"__{name}__"
    escaped = name
    for plain, word in _SIGNS:
        escaped = escaped.replace(plain, word) if plain != "__" else escaped.replace("__", word)
    return escaped if re.fullmatch(r"[A-Za-z_]\w*", escaped) else ""


def _tokens(text: str) -> list[str]:
    """The tokens, without blanks and comments; strings are emptied."""
    found = []
    for token in _TOKEN.finditer(text):
        if token["comment"] is not None or token[0].isspace():
            continue
        found.append('""' if token["string"] is not None else token[0])
    return found


def names_variable(text: str, name: str) -> bool:
    tokens = _tokens(text)
    return any(token == name and (i == 0 or tokens[i - 1] != ".") for i, token in enumerate(tokens))
