"""Where work runs and where files stand; knows nothing of tables."""

from infra.proxies import spare_this_machine
from infra.user import have_name_and_home

# Before anything else is imported, which reads the environment then.
spare_this_machine()
have_name_and_home()
