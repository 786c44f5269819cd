"""What schemathesis has to know of this orchestrator and no contract can say: it was started without
--allow-target, so of the targets that the contract allows only those on this machine are valid; and
what says how TLS is spoken, or which HTTP/2, is refused beside a target of the other kind."""

import schemathesis

# What HTTP is spoken with TLS and without.
EITHER_WAY = ["auto", "1.1"]


def dicts(node):
    stack = [node]
    while stack:
        node = stack.pop()
        if isinstance(node, dict):
            yield node
            stack.extend(node.values())
        elif isinstance(node, list):
            stack.extend(node)


@schemathesis.hook
def before_load_schema(context, raw_schema):
    elsewhere = [
        (choices, choice)
        for choices in (node.get("anyOf") for node in dicts(raw_schema))
        if isinstance(choices, list)
        for choice in choices
        if choice.get("title") == "Another host"
    ]
    assert elsewhere, "the contract has no targets on other hosts any more"
    for choices, choice in elsewhere:
        choices.remove(choice)
    without_tls(raw_schema)


def without_tls(raw_schema):
    taken = 0
    for node in dicts(raw_schema):
        parameters = node.get("parameters")
        if isinstance(parameters, list):
            kept = [p for p in parameters if not str(p.get("name", "")).startswith("tls.")]
            taken += len(parameters) - len(kept)
            node["parameters"] = kept
            for parameter in kept:
                if parameter.get("name") == "http":
                    parameter["schema"] = {"enum": EITHER_WAY}
        properties = node.get("properties")
        if isinstance(properties, dict) and "requests_per_connection" in properties:
            taken += properties.pop("tls", None) is not None
            properties["http"] = {"enum": [*EITHER_WAY, None]}
    assert taken, "the contract has no parameters of TLS any more"
