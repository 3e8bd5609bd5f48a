# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the end-to-end tests are written with. See tests/README.md."""
