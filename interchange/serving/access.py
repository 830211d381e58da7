"""Who may do what. Every door asks here once, before anything else is done for a request."""

from __future__ import annotations

import hmac
from fnmatch import fnmatchcase
from typing import Literal

from interchange.protocol.errors import ServingError
from interchange.serving.settings import Settings, Token

# open: health, the page, its OpenAPI; inference: models, their metadata, metrics; admin: load, unload
Right = Literal["open", "inference", "admin"]


class Access:
    """The tokens of a server, asked by both doors. What is not allowed is refused."""

    def __init__(self, settings: Settings) -> None:
        self.tokens = settings.tokens
        self._asked = bool(self.tokens)

    def check(self, authorization: str | None, right: Right, model: str = "") -> Token | None:
        """Whether a request may go on. authorization: its header, ``Bearer SECRET``.  model: which one it is about.

        Returns the token that it brought, if it needed one. Raises ServingError IX654 (none, or an unknown one), IX655.
        """
        if right == "open" or (right == "inference" and not self._asked):
            return None
        if right == "admin" and not any(t.admin for t in self.tokens):
            raise ServingError(
                "IX655",
                "administration is off",
                found="a server without a token that may administer",
                expected="a token with admin = true in the server's settings",
                fix="start it with --admin-token-file FILE, or change the folder of models: it is watched",
            )
        token = self._known(authorization)
        if token is None:
            raise ServingError(
                "IX654",
                "this needs a token",
                found="an unknown token" if authorization else "no Authorization header",
                expected="Authorization: Bearer TOKEN",
                fix="send the token that the operator of the server gave you",
            )
        allowed = token.admin if right == "admin" else token.inference or token.admin
        if not allowed or (model and not any(fnmatchcase(model, pattern) for pattern in token.models)):
            raise ServingError(
                "IX655",
                "this token has not the right",
                found=f"{right}{f' of {model}' if model else ''}",
                expected="what the operator of the server gave it",
                fix="ask for a token that may",
            )
        return token

    def sees(self, token: Token | None, model: str) -> bool:
        """Whether a token, once checked, may know of a model: lists show nothing else."""
        return token is None or any(fnmatchcase(model, pattern) for pattern in token.models)

    def _known(self, authorization: str | None) -> Token | None:
        kind, _, secret = (authorization or "").partition(" ")
        if kind.lower() != "bearer":
            return None
        given = secret.strip().encode()
        # each is compared, in constant time: how long it takes tells nothing
        found = [t for t in self.tokens if hmac.compare_digest(t.secret.encode(), given)]
        return found[0] if found else None
