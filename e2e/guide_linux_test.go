package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestGuide follows the pages on running a service, administering it and replacing the key file,
// as root in namespaces. Commands, files and units come from the pages. Commands of the server's
// user run under the restrictions of the unit (see systemd).
func TestGuide(t *testing.T) {
	t.Parallel()
	require(t, "curl", "openssl", "useradd", "setpriv", "ip", "mount")
	m := newMachine(t)
	guide := readPage(t, "how-to/run-in-production.md")
	m.run("passwords of the carriers", `
install -d -m 755 /etc/countersign
for name in carrier-a voice-a; do echo secret >/etc/countersign/$name.password; done`)
	m.follow("install", in(t, guide, "Install"))
	m.run("after install", `
test "$(stat -c %U:%G:%a /var/lib/countersign)" = countersign:countersign:700
test "$(stat -c %U:%G:%a /etc/countersign/key /etc/countersign/countersign.yaml | sort -u)" = root:countersign:640
fails grep 'other users can read' /run/countersign.service.log
pid=$(cat /run/countersign.service.pid)
grep -x 'NoNewPrivs:	1' /proc/$pid/status
grep -x 'CapBnd:	0000000000000000' /proc/$pid/status
grep -x "Max open files *\(65536 *65536\|$(ulimit -Hn) *$(ulimit -Hn)\) *files *" /proc/$pid/limits
# The restrictions hold: nothing but the state directory can be written.
for file in /etc/countersign/x /usr/local/bin/x /var/backups/countersign/x /root/x; do
  fails sudo -u countersign /bin/sh -c "echo >$file" 2>/dev/null
done
sudo -u countersign /bin/sh -c 'echo >/var/lib/countersign/x; rm /var/lib/countersign/x'
if command -v systemd-analyze >/dev/null; then
  systemd-analyze verify /etc/systemd/system/countersign.service
fi`)
	m.follow("accounts", in(t, guide, "Accounts"))
	m.run("after accounts", `
cs account list --config /etc/countersign/countersign.yaml | grep 'Web shop'
grep -q '^\*,' prices.csv`)
	m.follow("import", in(t, readPage(t, "how-to/bill-and-price.md"), "Set prices")[1:2])
	m.follow("reload", in(t, guide, "Reload"))
	m.run("after reload", `await 'grep "configuration reloaded" /run/countersign.service.log'`)

	m.run("certificate", `certificate fullchain.pem privkey.pem`)
	m.follow("TLS", in(t, guide, "TLS"))
	m.run("after TLS", `
await 'curl -s --cacert fullchain.pem https://verify.example.com/verify/json | grep "\"status\":\"2\""'
grep -x 'CapEff:	0000000000000400' /proc/$(cat /run/countersign.service.pid)/status
certificate fullchain.pem privkey.pem`)
	m.script.WriteString("# renewal: the install command again\n" + in(t, guide, "TLS")[1].text)
	m.run("after renewal", `await 'curl -s --cacert fullchain.pem https://verify.example.com/verify/json | grep "\"status\":\"2\""'`)

	backup := in(t, guide, "Back up and restore")
	m.follow("backup", backup[:3])
	m.run("after backup", `
if command -v systemd-analyze >/dev/null; then
  systemd-analyze verify /etc/systemd/system/countersign-backup.{service,timer}
fi
mv /var/backups/countersign/*.db /var/backups/countersign/2026-11-22-030000.db
cs account create Lost --config /etc/countersign/countersign.yaml`)
	m.follow("restore", backup[3:])
	m.run("after restore", `
cs account list --config /etc/countersign/countersign.yaml >accounts
grep 'Web shop' accounts
fails grep Lost accounts`)
	m.follow("upgrade", in(t, guide, "Upgrade"))
	m.run("after upgrade", `await 'curl -s 127.0.0.1:9090/readyz | grep ready'`)

	m.rotateKey(t)
	m.administer(t)
	m.execute(t)
}

// rotateKey follows the replacement of the key file: first with an abort, then to its end. It
// forces steps that would succeed only three minutes later.
func (m *machine) rotateKey(t *testing.T) {
	t.Helper()
	page := readPage(t, "how-to/protect-data.md")
	m.follow("forget a number", in(t, page, "Forget a number"))
	steps := in(t, page, "Replace the key file")
	add, replace, finish, remove, abort := steps[:1], steps[1:2], steps[2].text, steps[3:4], steps[4].text
	const up = `
systemctl restart countersign
await 'curl -s 127.0.0.1:9090/readyz | grep ready'`
	m.follow("add a key file", add)
	m.follow("replace the key file", replace)
	m.run("restart with the new key file", up)
	m.run("abort", forced(abort)+`
test ! -e /etc/countersign/key.old`+up)
	m.follow("add a key file again", add)
	m.follow("replace the key file again", replace)
	m.run("finish", forced(finish)+`
test "$(cs keys status --config /etc/countersign/countersign.yaml | grep -c key_file)" = 1
cp -p /etc/countersign/key key.kept
cp -p /etc/countersign/key.old /etc/countersign/key
systemctl stop countersign
fails sudo -u countersign countersign account list --config /etc/countersign/countersign.yaml
# A backup from before the rotation needs the old file.
cs restore --from /var/backups/countersign/2026-11-22-030000.db --config /etc/countersign/countersign.yaml
cp -p key.kept /etc/countersign/key
fails sudo -u countersign countersign restore --from /var/backups/countersign/2026-11-22-030000.db --config /etc/countersign/countersign.yaml
cp -p /etc/countersign/key.old /etc/countersign/key
systemctl start countersign
await 'curl -s 127.0.0.1:9090/readyz | grep ready'`)
	m.follow("remove the old key file", remove)
	m.run("after removal", "test ! -e /etc/countersign/key.old")
}

// forced returns commands that run the last one again with --force if it is refused.
func forced(commands string) string {
	commands = strings.TrimSpace(commands)
	first, last := "", commands
	if i := strings.LastIndex(commands, "\n"); i >= 0 {
		first, last = commands[:i+1], commands[i+1:]
	}
	return first + "if ! " + last + " 2>refused; then\n  grep 'retry after 2' refused\n  " + last + " --force\nfi\n"
}

// administer follows "Administer an installation". The other machine is the same machine,
// under the name verify.example.com.
func (m *machine) administer(t *testing.T) {
	t.Helper()
	page := readPage(t, "how-to/administer.md")
	const restart = `
systemctl restart countersign
await 'curl -s 127.0.0.1:9090/readyz | grep ready'`
	local := in(t, page, "On the server's machine")
	m.follow("admin API", local[:1])
	m.run("start it", restart+`
test "$(stat -c %U:%a /var/lib/countersign/admin-token)" = countersign:600
test "$(wc -w </var/lib/countersign/admin-token)" = 1
cs account create Shop --key shop0001 --config /etc/countersign/countersign.yaml`)
	m.run("use it here", "{ "+local[1].text+"} >here\ncat here\ngrep 'shop0001 ' here\ngrep '\"key\":\"shop0001\"' here")

	m.run("certificate of the admin API", `
certificate admin.pem admin.key
install -o root -g countersign -m 640 admin.pem admin.key /etc/countersign/
export SSL_CERT_FILE=$PWD/admin.pem CURL_CA_BUNDLE=$PWD/admin.pem`)
	far := in(t, page, "From another machine")
	m.follow("listen for other machines", far[:1])
	m.run("restart", restart)
	m.run("use it there", far[1].text+"HOME=$PWD\n"+far[2].text)
	for _, call := range in(t, page, "With a program") {
		m.run("a program", "{ "+call.text+"} >there\ncat there\ngrep '\"key\":\"shop0001\"' there\ngrep '100.00' there")
	}
	m.follow("audit log", in(t, page, "Find the author of a change"))
	m.run("after the audit log", "countersign audit list --subject shop0001 | grep anna")
}

// machine collects a script that runs as root in new namespaces.
type machine struct {
	script   strings.Builder
	settings string // content of the configuration
}

// newMachine returns a machine with the program, and replacements of systemctl and sudo. It skips
// the test without the permission to create namespaces.
func newMachine(t *testing.T) *machine {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("requires root, to create users, mounts and namespaces")
	}
	dir := t.TempDir()
	probe := inNamespaces(t.Context(), `mount --make-rprivate / && mount -t tmpfs tmpfs $0 && mkdir $0/upper $0/work &&
mount -t overlay overlay -o lowerdir=/etc,upperdir=$0/upper,workdir=$0/work /etc && mount -t proc proc /proc`, t.TempDir())
	if out, err := probe.CombinedOutput(); err != nil {
		t.Skipf("requires namespaces and overlay mounts: %v %s", err, out)
	}
	build := exec.Command("go", "build", "-o", filepath.Join(dir, "systemd"), "./systemd")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build package systemd: %v\n%s", err, out)
	}
	m := &machine{}
	fmt.Fprintf(&m.script, "dir=%s program=%s\n", dir, countersign(t))
	m.run("machine", `
shopt -s expand_aliases
mount --make-rprivate /
mount -t tmpfs tmpfs $dir/fs
for d in /etc /var /usr/local /root; do
  mkdir -p $dir/fs$d/upper $dir/fs$d/work
  mount -t overlay overlay -o lowerdir=$d,upperdir=$dir/fs$d/upper,workdir=$dir/fs$d/work $d
done
mount -t tmpfs tmpfs /run
mount -t proc proc /proc
ip link set lo up
echo '127.0.0.1 localhost verify.example.com smsc.carrier-a.example sip.voice-a.example' >$dir/fs/hosts
cat $dir/fs/hosts >/etc/hosts
rm -rf /etc/countersign /var/lib/countersign /var/backups/countersign
ln -s $dir/systemd /usr/local/sbin/systemctl
ln -s $dir/systemd /usr/local/sbin/sudo
umask 022
mkdir /root/source
cd /root/source
go() { test "$*" = 'build -o countersign ./cmd/countersign' && cp "$program" countersign; }
certificate() { # FILE KEY
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=verify.example.com \
    -addext subjectAltName=DNS:verify.example.com -days 90 -out $1 -keyout $2 2>/dev/null
}
fails() { # COMMAND...: must fail
  if "$@"; then return 1; fi
}
await() { # COMMAND: until it succeeds, for 30 seconds
  for i in $(seq 300); do eval "$1" && return; sleep 0.1; done
  cat /run/*.log
  return 1
}`)
	if err := os.Mkdir(filepath.Join(dir, "fs"), 0o700); err != nil {
		t.Fatal(err)
	}
	return m
}

// run adds commands to the script.
func (m *machine) run(step, commands string) {
	fmt.Fprintf(&m.script, "step=%q\n%s\n", step, strings.TrimSpace(commands))
}

// follow adds blocks of a page: files, settings of the configuration, and commands.
func (m *machine) follow(step string, blocks []block) {
	for _, b := range blocks {
		switch {
		case b.file != "":
			if strings.HasSuffix(b.file, "countersign.yaml") {
				m.settings = b.text
			}
			m.write(step, b.file, b.text)
		case b.lang == "yaml":
			m.settings = withSettings(m.settings, b.text)
			m.write(step, "/etc/countersign/countersign.yaml", m.settings)
		case b.lang == "" || b.lang == "sh":
			m.run(step, b.text)
		}
	}
}

// write adds commands that create or overwrite a file. An existing file keeps owner and mode.
func (m *machine) write(step, path, text string) {
	m.run(step, fmt.Sprintf("mkdir -p %s\ncat >%s <<'END OF FILE'\n%sEND OF FILE", filepath.Dir(path), path, text))
}

// inNamespaces returns a command that runs a script in new namespaces.
func inNamespaces(ctx context.Context, script string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "/bin/bash", append([]string{"-euo", "pipefail", "-c", script}, args...)...)
	cmd.Env = []string{"HOME=/root", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWNET | syscall.CLONE_NEWPID}
	return cmd
}

// execute runs the script.
func (m *machine) execute(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := inNamespaces(ctx, `trap 'status=$?; test $status = 0 || { echo "failed in step: $step: $BASH_COMMAND"; cat /run/*.log; }' EXIT`+"\n"+m.script.String())
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
}
