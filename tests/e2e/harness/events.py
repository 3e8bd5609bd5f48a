# SPDX-License-Identifier: LGPL-2.1-or-later
"""Our events, as an exporter writes them into the log."""

import json

_23 = """
event_exporter seal {
  format = json
  format_args = time-rfc3339
  transport = log
}
metric seal {
  exporter = seal
  filter = event=mail_seal_*
}
"""
_24 = """
event_exporter seal {
  driver = log
  format = json
  time_format = rfc3339
}
metric seal {
  exporter = seal
  filter = event=mail_seal_*
}
"""

# For Setup.
EXPORTED = {"extra_23": _23, "extra_24": _24}


def exported(server, name, user):
    """The fields of an event of this name, as an exporter writes them."""
    line = server.expect_log(rf'.*"event":"{name}".*').group()
    event = json.loads(line[line.index("{"):])
    fields = event["fields"]
    assert fields["user"] == user.name
    return fields


def audit(user, action, slot="none", result="ok"):
    """The pattern of a line of the audit."""
    return (rf"Info: mail_seal: audit: {action}: user=<{user.name}>, "
            rf"service=[a-z0-9-]+,( rip=[0-9.]+,)? slot={slot}, "
            rf"result={result}.*")
