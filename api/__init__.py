"""REST: who may call what, and faces for the rooms below. No logic of its own.

How to add an endpoint:

    keys = Face("/api/v1/kms", "keys")                     # a router; one a file

    @keys.get("/keys/{name}")
    @allow(Role.ADMIN, Role.AUDITOR)                       # without it, or `@public`, the module does not import
    def key(name: str, who: Who, facts: Facts) -> KeyView:
        facts["kid"] = name                                # what the audit says of this request, beside who, what and when
        return KeyView.of(ring.key(name))

and hand the face to `api.application.application` together with a `Gate` (who is known, how often each may ask) and the table that
says which error is which status. An endpoint that computes or waits is a plain `def`: it runs in a thread; `async def` is for what
awaits. Errors are raised as the room below has them; every answer of 4xx or 5xx is a problem detail (RFC 9457).

| file | holds |
|---|---|
| `roles.py` | roles, principals, `@allow`, `@public` |
| `authentication.py` | the gate: authenticate, limit, then admit or refuse |
| `bearer.py` | bearer tokens (JWT, RFC 9068), signed by keys of the key ring |
| `certificates.py` | client certificates, and the protocol class of uvicorn that hands them on |
| `rate_limits.py` | token buckets |
| `problems.py` | problem details for every error |
| `requests.py` | around each request: an id, a limit of its size, its record, the last word on errors |
| `application.py` | puts them together |
"""
