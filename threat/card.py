"""The classical model's card: what it was made of, by which command, and what it is worth."""

from threat.classical import Classical


def classical_card(model: Classical, command: str) -> str:
    """Markdown."""
    figures = "\n".join(f"| {name} | {share:.2%} |" for name, share in model.about["figures"].items())
    return f"""# Classical threat model {model.version}

Boosting (histogram trees, ONNX), a baseline of one dense layer (npz) and an isolation forest as novelty gate (ONNX).

- Data: {model.about["data"]}; {model.about["events"]:,} events, {model.about["held_out"]:,} of them held out.
- Made by: `{command}`
- Features: {len(model.columns)} of each event alone, named in `model.json`.
- Kinds of threat: {", ".join(model.techniques)}

| on held-out events | share |
|---|---|
{figures}

Generated data are easier than real networks: these figures show that the path works, and nothing about a network of yours.
Train on labelled events of your own before you rely on it.
"""
