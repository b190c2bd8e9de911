package e2e

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"countersign/internal/await"
)

// The account that a demo creates.
const (
	apiKey          = "demo0001"
	apiSecret       = "demosecret0001"
	signatureSecret = "demosignature0001"
)

// patience is the time limit for immediate results.
const patience = 20 * time.Second

// server is the program under test, running as "countersign demo" or "serve".
type server struct {
	url    string
	client *http.Client // trusts the certificate of the server
	cmd    *exec.Cmd
	log    *journal
	ended  chan struct{} // closed after the end of the program
	number atomic.Int64  // count of numbers from newNumber
}

// start runs "countersign demo" with further arguments, waits until it answers, and stops it at
// the end of the test.
func start(t *testing.T, args ...string) *server {
	t.Helper()
	return startIn(t, t.TempDir(), args...)
}

// startIn is start with data in dir, which may contain data of an earlier server.
func startIn(t *testing.T, dir string, args ...string) *server {
	t.Helper()
	args = append([]string{"demo", "--listen", "127.0.0.1:0", "--unlimited", "--data", dir}, args...)
	s := launch(t, args...)
	t.Cleanup(func() { s.end(t) })
	s.awaitURL(t)
	if strings.HasPrefix(s.url, "https:") {
		s.client.Transport = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: certificates(t, dir)}}
	}
	s.messages(t, "447700900000") // the server answers
	return s
}

// launch starts the program without waiting for it.
func launch(t *testing.T, args ...string) *server {
	t.Helper()
	s := &server{
		client: &http.Client{Timeout: patience},
		cmd:    exec.Command(countersign(t), args...),
		log:    newJournal(),
		ended:  make(chan struct{}),
	}
	s.cmd.Stdout = s.log
	s.cmd.Stderr = s.log
	s.cmd.Env = environment()
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(s.ended)
		_ = s.cmd.Wait() // ProcessState has the result
	}()
	return s
}

// environment is the environment of the program: without the settings of the tests, which the
// program would also read. Another time zone shows that its times are UTC.
func environment() []string {
	own := slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "COUNTERSIGN_") })
	return append(own, "TZ=Asia/Seoul")
}

// awaitURL waits until the program logs its address.
func (s *server) awaitURL(t *testing.T) {
	t.Helper()
	select {
	case s.url = <-s.log.url:
	case <-s.ended:
		t.Fatalf("%s ended: %v\n%s", strings.Join(s.cmd.Args, " "), s.cmd.ProcessState, s.log)
	case <-time.After(patience):
		t.Fatal("the program did not log its address")
	}
}

// end stops the program at the end of a test, and shows its log if the test failed.
func (s *server) end(t *testing.T) {
	t.Helper()
	s.stop(t)
	if t.Failed() {
		t.Logf("log of the program:\n%s", s.log)
	}
}

// certificates returns the certificate that a demo with data in dir generated.
func certificates(t *testing.T, dir string) *x509.CertPool {
	t.Helper()
	pem, err := os.ReadFile(filepath.Join(dir, "cert.pem"))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		t.Fatalf("no certificate in %s", pem)
	}
	return pool
}

// stop sends SIGTERM and checks the exit status. It has no effect after a stop or kill.
func (s *server) stop(t *testing.T) {
	t.Helper()
	select {
	case <-s.ended:
		return
	default:
	}
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	select {
	case <-s.ended:
	case <-time.After(patience):
		t.Errorf("the program is still running %v after SIGTERM", patience)
		s.kill()
	}
	if state := s.cmd.ProcessState; !state.Success() {
		t.Errorf("the program ended with %v", state)
	}
}

// kill ends the program with SIGKILL and waits for its end.
func (s *server) kill() {
	_ = s.cmd.Process.Kill() // an error means that the program has ended
	<-s.ended
}

// newNumber returns a number that was not used on this server, from the range that the United
// Kingdom reserves for fiction.
func (s *server) newNumber() string {
	return fmt.Sprintf("447700900%03d", 100+s.number.Add(1))
}

// message is a message on the virtual phone.
type message struct {
	Number    string
	Channel   string
	From      string
	Text      string
	AudioURL  string    `json:"audio_url"`
	EventID   string    `json:"event_id"`
	RequestID string    `json:"request_id"`
	SentAt    time.Time `json:"sent_at"`
}

// messages returns the messages that the phone of number received, oldest first.
func (s *server) messages(t *testing.T, number string) []message {
	t.Helper()
	var inbox struct{ Messages []message }
	answer := s.get(t, "/phone/api/messages?"+url.Values{"number": {number}}.Encode())
	if err := json.Unmarshal(answer, &inbox); err != nil {
		t.Fatalf("messages of %s: %v in %s", number, err, answer)
	}
	return inbox.Messages
}

// await waits for the nth message for number (the first is 1) and returns it.
func (s *server) await(t *testing.T, number string, n int) message {
	t.Helper()
	var got []message
	await.Until(t, fmt.Sprintf("message %d for %s", n, number), func() bool {
		got = s.messages(t, number)
		return len(got) >= n
	})
	return got[n-1]
}

// until waits for a condition of the program. It shows the program's log on failure.
func (s *server) until(t *testing.T, condition string, met func() bool) {
	t.Helper()
	done := false
	defer func() {
		if !done {
			t.Log(tail(s.log.String()))
		}
	}()
	await.Until(t, condition, met)
	done = true
}

// lapse waits in real time: for an interval between two faults, the pace of clients, or a time
// limit of the program, which has its own clock. Elapsed time is the only condition.
func lapse(d time.Duration) { <-time.After(d) }

// get returns a page of the server.
func (s *server) get(t *testing.T, path string) []byte {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, body := s.send(t, req)
	return body
}

// send makes a request and returns its answer, which must have status 200.
func (s *server) send(t *testing.T, req *http.Request) (http.Header, []byte) {
	t.Helper()
	res, err := s.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != http.StatusOK {
		t.Fatalf("%s %s: %s\n%s", req.Method, req.URL.Path, res.Status, body)
	}
	return res.Header, body
}

// A PIN is one word in an SMS, and separate digits in speech.
var (
	writtenPIN = regexp.MustCompile(`\b\d{4,10}\b`)
	spokenPIN  = regexp.MustCompile(`\b\d(, \d){3,9}\b`)
)

// pin returns the PIN in the text of a message.
func (m message) pin(t *testing.T) string {
	t.Helper()
	found := writtenPIN.FindString(m.Text)
	if m.Channel == "tts" {
		found = strings.ReplaceAll(spokenPIN.FindString(m.Text), ", ", "")
	}
	if found == "" {
		t.Fatalf("no PIN in %s %q", m.Channel, m.Text)
	}
	return found
}

// wrong returns a code that differs from pin in its last digit.
func wrong(pin string) string {
	last := len(pin) - 1
	return pin[:last] + string('0'+(pin[last]-'0'+1)%10)
}

// journal keeps the output of the program, and sends its address to url.
type journal struct {
	url chan string // receives one value

	mu   sync.Mutex
	text bytes.Buffer
	told bool
}

func newJournal() *journal { return &journal{url: make(chan string, 1)} }

var listening = regexp.MustCompile(`https?://127\.0\.0\.1:\d+\b`)

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.text.Write(p)
	if !j.told {
		// The address is complete only if more output follows: otherwise a digit may be
		// missing.
		if at := listening.FindIndex(j.text.Bytes()); at != nil && at[1] < j.text.Len() {
			j.told = true
			j.url <- string(j.text.Bytes()[at[0]:at[1]])
		}
	}
	return len(p), nil
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}
