// Systemd replaces systemctl and sudo where systemd does not run, for tests of unit
// files. It reads units from /etc/systemd/system, drop-ins included, and applies their
// restrictions with the same kernel features: a mount namespace with a read-only tree,
// the user, capabilities, limits and umask. A directive that it does not implement is an
// error, so that a test cannot pass without it.
//
// Usage, by the name under which it runs (the test makes the links):
//
//	systemctl start|stop|restart|reload|enable [--now] UNIT
//	systemctl daemon-reload
//	sudo -u USER COMMAND...    runs as USER under the restrictions of countersign.service
//
// It changes files and mounts of the machine: run it in a mount, network and process
// namespace.
package main
