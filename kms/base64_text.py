"""Base64 in its one form: RFC 4648 section 4, padded, with the unused bits of the last letter 0 (section 3.5).

Decoders let those bits be anything, so that a text could be changed and still say the same bytes.
"""

import base64


def read_base64(text: str) -> bytes:
    """The bytes that `text` stands for.

    Raises:
        ValueError: it is no base64, or not the only text of these bytes.
    """
    content = base64.b64decode(text, validate=True)
    if base64.b64encode(content).decode() != text:
        raise ValueError("base64 whose last letter has bits that stand for nothing")
    return content
