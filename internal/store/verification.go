package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"countersign/internal/verify"
)

// Claim is a node's hold on a verification. While it lasts no other node acts on
// the row by itself; when Until passes without a word from Node, any node may.
type Claim struct {
	Node  string    // "" while nobody holds the row
	Until time.Time // end of the lease
	Fence int64     // grows with every claim; a write under an older one is void
}

// Row is a verification as it lies in the database.
type Row struct {
	verify.Verification
	Claim
}

// Take claims the row for node until the given time.
func (r *Row) Take(node string, until time.Time) {
	r.Claim = Claim{Node: node, Until: until, Fence: r.Fence + 1}
}

// Drop gives the claim back. A later write under it is void.
func (r *Row) Drop() { r.Claim = Claim{Fence: r.Fence + 1} }

// dueAt is when a runner should look at the row: for the next step, or, even when the
// verification is over, because the node that holds it has not told what became of
// its message, or because of a refund.
func (r *Row) dueAt() sql.NullInt64 {
	switch {
	case r.Node != "":
		return millisOrNull(r.Until)
	case r.RefundDue():
		return millisOrNull(r.FinalizedAt)
	case r.Ended():
		return sql.NullInt64{}
	}
	return millisOrNull(r.DueAt)
}

const verificationColumns = `id, account, number, country, brand, payee, amount, sender, locale,
	code_length, chosen_pin, workflow, price, submitted_at,
	status, finalized_at, pin, generation, pin_expires_at, tries, events,
	first_event_at, last_event_at, last_event_id, step_at, due_at, node, fence,
	payer, paid, unsent, cost`

// workflow is the stored form of verify.Workflow. Times are in milliseconds.
type workflow struct {
	Steps       []workflowStep   `json:"steps"`
	PINLife     int64            `json:"pin_life"`
	PINPolicy   verify.PINPolicy `json:"pin_policy"`
	CancelAfter int64            `json:"cancel_after"`
	Test        bool             `json:"test,omitempty"`
	Speed       int              `json:"speed,omitempty"`
}

type workflowStep struct {
	Channel verify.Channel `json:"channel"`
	Wait    int64          `json:"wait"`
}

func encodeWorkflow(w verify.Workflow) (string, error) {
	stored := workflow{
		PINLife: w.PINLife.Milliseconds(), PINPolicy: w.PINPolicy,
		CancelAfter: w.CancelAfter.Milliseconds(), Test: w.Test, Speed: w.Speed,
	}
	for _, s := range w.Steps {
		stored.Steps = append(stored.Steps, workflowStep{s.Channel, s.Wait.Milliseconds()})
	}
	text, err := json.Marshal(stored)
	return string(text), err
}

func decodeWorkflow(text string) (verify.Workflow, error) {
	var stored workflow
	if err := json.Unmarshal([]byte(text), &stored); err != nil {
		return verify.Workflow{}, fmt.Errorf("workflow: %w", err)
	}
	w := verify.Workflow{
		PINLife:   time.Duration(stored.PINLife) * time.Millisecond,
		PINPolicy: stored.PINPolicy, Test: stored.Test, Speed: stored.Speed,
		CancelAfter: time.Duration(stored.CancelAfter) * time.Millisecond,
	}
	for _, s := range stored.Steps {
		w.Steps = append(w.Steps, verify.Step{Channel: s.Channel, Wait: time.Duration(s.Wait) * time.Millisecond})
	}
	return w, nil
}

// ErrRunning is wrapped where a verification would be the second that is in
// progress for its account and number. Whoever has looked before can still meet
// it: another node may have been faster. It may come at the end of the job.
var ErrRunning = errors.New("a verification is in progress for this number")

// Insert adds a new verification and its first event.
func (tx *Tx) Insert(r *Row, first verify.Event) error {
	steps, err := encodeWorkflow(r.Workflow)
	if err != nil {
		return err
	}
	var payee, amount sql.NullString
	if r.Payment != nil {
		payee = sql.NullString{String: r.Payment.Payee, Valid: true}
		amount = sql.NullString{String: r.Payment.Amount, Valid: true}
	}
	err = tx.change(addVerification, r.ID,
		r.ID[:], r.Account, r.Number, r.Country, r.Brand, payee, amount, r.Sender, r.Locale,
		r.CodeLength, !r.ChosenPIN.IsZero(), steps, int64(r.Price), millis(r.SubmittedAt),
		string(r.Status), millisOrNull(r.FinalizedAt), tx.seal.sealPIN(forPIN, r.PIN, r.ID, r.Generation), r.Generation,
		millis(r.PINExpiresAt), r.Tries, r.Events,
		millis(r.FirstEventAt), millis(r.LastEventAt), r.LastEventID[:], millisOrNull(r.DueAt),
		r.dueAt(), sql.NullString{String: r.Node, Valid: r.Node != ""}, r.Fence,
		r.Payer, r.Paid, r.Unsent, int64(r.Cost))
	if err != nil {
		return fmt.Errorf("insert verification %s: %w", r.ID, err)
	}
	tx.running.note(r)
	return tx.AddEvent(first)
}

const addVerification change = `INSERT INTO verifications (` + verificationColumns + `)`

// Save writes what may change in a verification, and its claim.
func (tx *Tx) Save(r *Row) error {
	err := tx.change(saveVerification, r.ID,
		string(r.Status), millisOrNull(r.FinalizedAt), tx.seal.sealPIN(forPIN, r.PIN, r.ID, r.Generation), r.Generation,
		millis(r.PINExpiresAt), r.Tries,
		r.Events, millis(r.FirstEventAt), millis(r.LastEventAt), r.LastEventID[:], millisOrNull(r.DueAt),
		r.dueAt(), sql.NullString{String: r.Node, Valid: r.Node != ""}, r.Fence, r.Paid, r.Unsent,
		r.ID[:])
	if err != nil {
		return fmt.Errorf("save verification %s: %w", r.ID, err)
	}
	tx.running.note(r)
	return nil
}

const saveVerification change = `UPDATE verifications SET
		status = new.status, finalized_at = new.finalized_at, pin = new.pin, generation = new.generation,
		pin_expires_at = new.pin_expires_at, tries = new.tries, events = new.events, first_event_at = new.first_event_at,
		last_event_at = new.last_event_at, last_event_id = new.last_event_id, step_at = new.step_at, due_at = new.due_at,
		node = new.node, fence = new.fence, paid = new.paid, unsent = new.unsent
	FROM new (status TEXT, finalized_at BIGINT, pin BYTEA, generation INT, pin_expires_at BIGINT, tries INT, events INT,
		first_event_at BIGINT, last_event_at BIGINT, last_event_id BYTEA, step_at BIGINT, due_at BIGINT, node TEXT, fence BIGINT,
		paid BOOLEAN, unsent BOOLEAN, id BYTEA)
	WHERE verifications.id = new.id`

// Release gives back the claim that was made with fence, so that the next step
// falls due in its time, or the refund of what is over. It does nothing when somebody has claimed the row since, or
// when the outcome of another event is open: the end of the lease brings that up.
func (tx *Tx) Release(id verify.ID, fence int64) error {
	if err := tx.change(release, id, id[:], fence); err != nil {
		return fmt.Errorf("release verification %s: %w", id, err)
	}
	return nil
}

// release lets fall due what dueAt says.
const release change = `UPDATE verifications SET node = NULL,
		due_at = CASE WHEN finalized_at IS NULL THEN step_at WHEN unsent AND paid AND price <> 0 THEN finalized_at END
	FROM new (id BYTEA, fence BIGINT)
	WHERE verifications.id = new.id AND verifications.fence = new.fence
		AND (SELECT COUNT(*) FROM events WHERE events.verification = new.id AND events.state = 'submitting') = 0`

// Renew lets a claim that was made with fence hold until the given time, but not
// past the time of the next step. It does nothing when somebody has claimed the row
// since. A row that another transaction holds is left to the next time: one that
// gives claims back holds many, as one that renews does, and they would wait for each
// other.
func (tx *Tx) Renew(id verify.ID, fence int64, until time.Time) error {
	delete(tx.loaded, id)
	err := tx.send(`UPDATE verifications SET due_at = CASE WHEN step_at < $1 THEN step_at ELSE $1 END
		WHERE id IN (SELECT id FROM verifications
			WHERE id = $2 AND fence = $3 AND node IS NOT NULL AND due_at < $1`+tx.claim+`)`, millis(until), id[:], fence)
	if err != nil {
		return fmt.Errorf("renew claim of verification %s: %w", id, err)
	}
	return nil
}

// Postpone keeps a row that cannot be worked on from falling due before until.
func (tx *Tx) Postpone(id verify.ID, until time.Time) error {
	delete(tx.loaded, id)
	return tx.send(`UPDATE verifications SET due_at = $1 WHERE id = $2`, millis(until), id[:])
}

// loaded are verifications that were loaded, and locked, before the jobs of a batch
// began. Each is used once, and not after anything has changed it.
type loaded map[verify.ID]*Row

func (l loaded) take(id verify.ID) *Row {
	r := l[id]
	delete(l, id)
	return r
}

// Get loads an account's verification to change it. ok is false when there is
// none.
func (tx *Tx) Get(account string, id verify.ID) (r *Row, ok bool, err error) {
	if r := tx.loaded.take(id); r != nil {
		return r, r.Account == account, nil
	}
	return tx.one(`SELECT `+verificationColumns+` FROM verifications WHERE id = $1 AND account = $2`, id[:], account)
}

// Find loads a verification to change it, whoever's it is. ok is false when there
// is none.
func (tx *Tx) Find(id verify.ID) (r *Row, ok bool, err error) {
	if r := tx.loaded.take(id); r != nil {
		return r, true, nil
	}
	return tx.one(`SELECT `+verificationColumns+` FROM verifications WHERE id = $1`, id[:])
}

// FindFree is Find for a row that nobody else is at work on; ok is false otherwise,
// too.
func (tx *Tx) FindFree(id verify.ID) (r *Row, ok bool, err error) {
	return tx.oneLocked(tx.claim, `SELECT `+verificationColumns+` FROM verifications WHERE id = $1`, id[:])
}

// running are the verifications that are in progress for accounts and numbers which the
// jobs of a batch asked for before it began; one without an id is none.
type running map[runningKey]verify.ID

type runningKey struct{ account, number string }

func (w running) known(key runningKey) bool {
	_, ok := w[key]
	return ok
}

// note keeps up with what a job of the batch has done.
func (w running) note(r *Row) {
	key := runningKey{r.Account, r.Number}
	switch id, known := w[key]; {
	case w == nil:
	case r.Status == verify.InProgress:
		w[key] = r.ID
	case known && id == r.ID:
		w[key] = verify.ID{}
	}
}

// Running loads the verification that is in progress for an account and number.
func (tx *Tx) Running(account, number string) (r *Row, ok bool, err error) {
	key := runningKey{account, number}
	id := tx.running[key]
	if !tx.running.known(key) {
		// An id by itself: mostly there is none, and the driver prepares for each column.
		var found []byte
		if _, err = tx.queryRow(`SELECT id FROM verifications
			WHERE account = $1 AND number = $2 AND status = 'IN PROGRESS'`+tx.lock, []any{account, number}, &found); err != nil {
			return nil, false, fmt.Errorf("find what is in progress: %w", err)
		}
		copy(id[:], found)
	}
	if id == (verify.ID{}) {
		return nil, false, nil
	}
	if r, ok, err = tx.Find(id); err != nil || ok && r.Status == verify.InProgress {
		return r, ok, err
	}
	return nil, false, nil // it ended a moment ago, in another transaction
}

func (tx *Tx) one(query string, args ...any) (*Row, bool, error) {
	return tx.oneLocked(tx.lock, query, args...)
}

func (tx *Tx) oneLocked(lock, query string, args ...any) (*Row, bool, error) {
	rows, err := tx.query(query+lock, args...)
	if err != nil {
		return nil, false, fmt.Errorf("load verification: %w", err)
	}
	defer rows.Close()
	if !rows.Next() {
		return nil, false, rows.Err()
	}
	r, err := scanRow(rows, tx.seal)
	switch {
	case err == nil:
		return r, true, rows.Err()
	case r != nil:
		return nil, false, fmt.Errorf("%w: %w", ErrBroken, err)
	default:
		return nil, false, err
	}
}

// ErrBroken is wrapped where a verification is there, but cannot be read.
var ErrBroken = errors.New("broken row")

// Due loads the verifications that fell due, the longest overdue first, but for
// those that another node is at work on. A row that cannot be read is named in
// broken instead.
func (tx *Tx) Due(now time.Time, limit int) (due []*Row, broken map[verify.ID]error, err error) {
	rows, err := tx.query(`SELECT `+verificationColumns+` FROM verifications
		WHERE due_at <= $1 ORDER BY due_at LIMIT $2`+tx.claim, millis(now), limit)
	if err != nil {
		return nil, nil, fmt.Errorf("load due verifications: %w", err)
	}
	defer rows.Close()
	broken = map[verify.ID]error{}
	for rows.Next() {
		r, err := scanRow(rows, tx.seal)
		switch {
		case err == nil:
			due = append(due, r)
		case r != nil:
			broken[r.ID] = err
		default:
			return nil, nil, err
		}
	}
	return due, broken, rows.Err()
}

// scanRow reads one row. With an error it still returns the row when at least
// the id is known.
func scanRow(from scanner, seal *sealer) (*Row, error) {
	var (
		r                                  Row
		id, sealed, lastEvent              []byte
		payee, amount, node                sql.NullString
		chosen                             bool
		steps                              string
		submitted, pinExpires, first, last int64
		finalized, stepAt, dueAt           sql.NullInt64
	)
	if err := from.Scan(&id, &r.Account, &r.Number, &r.Country, &r.Brand, &payee, &amount, &r.Sender, &r.Locale,
		&r.CodeLength, &chosen, &steps, &r.Price, &submitted,
		&r.Status, &finalized, &sealed, &r.Generation, &pinExpires, &r.Tries, &r.Events,
		&first, &last, &lastEvent, &stepAt, &dueAt, &node, &r.Fence,
		&r.Payer, &r.Paid, &r.Unsent, &r.Cost); err != nil {
		return nil, fmt.Errorf("read verification: %w", err)
	}
	copy(r.ID[:], id)
	copy(r.LastEventID[:], lastEvent)
	if payee.Valid {
		r.Payment = &verify.Payment{Payee: payee.String, Amount: amount.String}
	}
	r.SubmittedAt, r.PINExpiresAt = fromMillis(submitted), fromMillis(pinExpires)
	r.FirstEventAt, r.LastEventAt = fromMillis(first), fromMillis(last)
	r.FinalizedAt, r.DueAt = fromMillisOrNull(finalized), fromMillisOrNull(stepAt)
	if node.Valid {
		r.Node, r.Until = node.String, fromMillisOrNull(dueAt)
	}
	var err error
	if r.Workflow, err = decodeWorkflow(steps); err != nil {
		return &r, fmt.Errorf("verification %s: %w", r.ID, err)
	}
	if r.PIN, err = seal.openPIN(sealed, r.ID, r.Generation); err != nil {
		return &r, err
	}
	if chosen {
		r.ChosenPIN = r.PIN
	}
	return &r, nil
}

// Record is a verification with its history, as search shows it.
type Record struct {
	verify.Verification
	EventList []verify.Event
	CheckList []verify.Check
	PartList  []EventPart // set by FindVerification only
}

// EventPart is a part of an event that a carrier accepted.
type EventPart struct {
	Event int // its Seq
	verify.Part
}

const findRecord = `SELECT ` + verificationColumns + ` FROM verifications WHERE id = $1 AND account = $2`

// Record finds an account's verification with its events and checks, wherever it
// lies: it may have moved to the archive. ok is false when there is none.
func (db *DB) Record(ctx context.Context, account string, id verify.ID) (rec Record, ok bool, err error) {
	rec, ok, err = db.record(ctx, account, id)
	rec.PartList = nil
	return rec, ok, err
}

// record is Record with the parts of an archived verification.
func (db *DB) record(ctx context.Context, account string, id verify.ID) (rec Record, ok bool, err error) {
	for _, query := range []string{findRecord, findEvents, findChecks} {
		if err := db.parse(ctx, query); err != nil {
			return rec, false, fmt.Errorf("search: %w", err)
		}
	}
	// One snapshot, so that the parts agree with each other.
	tx, err := retry(ctx, db.primary, func() (*sql.Tx, error) {
		return db.read.BeginTx(ctx, &sql.TxOptions{ReadOnly: true, Isolation: db.snapshot})
	})
	if err = db.outage.note(err); err != nil {
		return rec, false, fmt.Errorf("search: %w", err)
	}
	defer func() { err = errors.Join(err, tx.Rollback()) }()
	rows, err := db.queryIn(ctx, tx, findRecord, id[:], account)
	if err != nil {
		return rec, false, fmt.Errorf("search: %w", err)
	}
	defer rows.Close()
	if !rows.Next() {
		if err := rows.Err(); err != nil {
			return rec, false, err
		}
		return queryArchive(ctx, tx, account, id)
	}
	r, err := scanRow(rows, db.seal)
	if err != nil {
		return rec, false, err
	}
	if err := rows.Close(); err != nil {
		return rec, false, err
	}
	rec.Verification = r.Verification
	//nolint:rowserrcheck // scanEvents does
	events, err := db.queryIn(ctx, tx, findEvents, id[:])
	if rec.EventList, err = scanEvents(events, err); err != nil {
		return rec, false, err
	}
	//nolint:rowserrcheck // scanChecks does
	checks, err := db.queryIn(ctx, tx, findChecks, id[:])
	rec.CheckList, err = scanChecks(checks, err, db.seal, id)
	return rec, err == nil, err
}

// Verification reads a verification as it stands now. ok is false when there is
// none.
func (db *DB) Verification(ctx context.Context, id verify.ID) (v verify.Verification, ok bool, err error) {
	rows, err := db.query(ctx, `SELECT `+verificationColumns+` FROM verifications WHERE id = $1`, id[:])
	if err != nil {
		return v, false, fmt.Errorf("load verification: %w", err)
	}
	defer rows.Close()
	if !rows.Next() {
		return v, false, rows.Err()
	}
	r, err := scanRow(rows, db.seal)
	if err != nil {
		return v, false, err
	}
	return r.Verification, true, rows.Err()
}

// NextDue is when the next verification falls due; ok is false when none will.
func (db *DB) NextDue(ctx context.Context) (at time.Time, ok bool, err error) {
	var ms sql.NullInt64
	// Without the condition SQLite could not use the partial index.
	err = db.queryRow(ctx, `SELECT MIN(due_at) FROM verifications WHERE due_at IS NOT NULL`, nil, &ms)
	return fromMillisOrNull(ms), ms.Valid, err
}
