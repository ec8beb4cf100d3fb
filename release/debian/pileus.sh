#!/bin/sh
exec /usr/lib/pileus/bin/python -m pileus.app.main "$@"
