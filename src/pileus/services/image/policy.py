"""Policy rules by Glance's names, with Glance's defaults (2025.x)."""

from __future__ import annotations

from pileus.policy import Rule

ADMIN = "rule:context_is_admin"
_MEMBER = "role:member and project_id:%(project_id)s"
_READER = "role:reader and project_id:%(project_id)s"
_OPEN = "'community':%(visibility)s or 'public':%(visibility)s or 'shared':%(visibility)s"
_SEES = f"(project_id:%(project_id)s or project_id:%(member_id)s or {_OPEN})"

ADMIN_OR_MEMBER = f"{ADMIN} or ({_MEMBER})"
ADMIN_OR_READER = f"{ADMIN} or ({_READER})"
ADMIN_OR_READER_OR_SHARED = (
    f"{ADMIN} or role:reader and (project_id:%(project_id)s or project_id:%(member_id)s)"
)

_CHECKS = {
    "add_image": f"{ADMIN} or ({_MEMBER} and project_id:%(owner)s)",
    "delete_image": ADMIN_OR_MEMBER,
    "get_image": f"{ADMIN} or (role:reader and {_SEES})",
    "get_images": ADMIN_OR_READER,
    "modify_image": ADMIN_OR_MEMBER,
    "publicize_image": ADMIN,
    "communitize_image": ADMIN_OR_MEMBER,
    "download_image": f"{ADMIN} or (role:member and {_SEES})",
    "upload_image": ADMIN_OR_MEMBER,
    "add_member": ADMIN_OR_MEMBER,
    "delete_member": ADMIN_OR_MEMBER,
    "get_member": ADMIN_OR_READER_OR_SHARED,
    "get_members": ADMIN_OR_READER_OR_SHARED,
    "modify_member": f"{ADMIN} or (role:member and project_id:%(member_id)s)",
    "deactivate": ADMIN_OR_MEMBER,
    "reactivate": ADMIN_OR_MEMBER,
}

RULES = (
    Rule("context_is_admin", "role:admin", "Who administers the cloud"),
    *(Rule(name, check, scope_types=("project",)) for name, check in _CHECKS.items()),
)
