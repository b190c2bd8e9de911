package copy

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"countersign/internal/store"
)

// settingsTable also has rows that belong to a database and not to its installation.
const settingsTable = "settings"

// copyWhere excludes these rows: the progress of a copy, and the writes of Ping.
const copyWhere = ` WHERE name <> '` + store.CopyMark + `' AND name NOT LIKE 'write_check%'`

// gooseTable has the migrations that were applied to a database. It is the only table that
// is not copied.
const gooseTable = "goose_db_version"

// copyTable is a table of both databases.
type copyTable struct {
	name        string
	columns     []copyColumn // in the order of the target
	order       []string     // primary key of the source
	partitionBy string       // column of the target's partitions; "" without partitions
}

type copyColumn struct {
	name     string
	kind     string // type of the target
	key      int    // index in the primary key of the target, or -1
	identity bool
}

// copyTables lists the tables of both databases, so that it includes tables that later
// migrations add. It orders them by foreign keys.
func copyTables(ctx context.Context, source *copySource, target *pgx.Conn) ([]copyTable, error) {
	theirs, err := targetTables(ctx, target)
	if err != nil {
		return nil, err
	}
	ours, err := source.tables(ctx)
	if err != nil {
		return nil, err
	}
	for name := range ours {
		if theirs[name] == nil {
			return nil, fmt.Errorf("table %s is in the source only", name)
		}
	}
	for name, t := range theirs {
		from, ok := ours[name]
		if !ok {
			return nil, fmt.Errorf("table %s is in the target only", name)
		}
		t.order = from.key
		if err := t.check(from.columns); err != nil {
			return nil, fmt.Errorf("table %s: %w", name, err)
		}
	}
	return inOrder(ctx, target, theirs)
}

// targetTables lists the tables of the target, without partitions and UNLOGGED tables.
func targetTables(ctx context.Context, target *pgx.Conn) (map[string]*copyTable, error) {
	rows, err := target.Query(ctx, `
		SELECT c.relname, a.attname, a.atttypid::regtype::text, COALESCE(array_position(i.indkey::int2[], a.attnum), -1),
			a.attidentity <> '', COALESCE(p.partstrat = 'r' AND p.partnatts = 1 AND p.partattrs[0] = a.attnum AND p.partdefid = 0, FALSE)
		FROM pg_class c
		JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = current_schema()
		JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
		LEFT JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary
		LEFT JOIN pg_partitioned_table p ON p.partrelid = c.oid
		WHERE c.relkind IN ('r', 'p') AND c.relpersistence = 'p' AND NOT c.relispartition AND c.relname <> $1
		ORDER BY c.relname, a.attnum`, gooseTable)
	if err != nil {
		return nil, err
	}
	tables := map[string]*copyTable{}
	var table string
	var col copyColumn
	var partitionBy bool
	_, err = pgx.ForEachRow(rows, []any{&table, &col.name, &col.kind, &col.key, &col.identity, &partitionBy}, func() error {
		t := tables[table]
		if t == nil {
			t = &copyTable{name: table}
			tables[table] = t
		}
		t.columns = append(t.columns, col)
		if partitionBy {
			t.partitionBy = col.name
		}
		return nil
	})
	return tables, err
}

// check returns an error if a copy of the table would be incomplete.
func (t *copyTable) check(source []string) error {
	var target []string
	for _, c := range t.columns {
		target = append(target, c.name)
		if !slices.Contains([]string{"text", "bytea", "boolean", "integer", "bigint"}, c.kind) {
			return fmt.Errorf("column %s is of type %s, which a copy does not support", c.name, c.kind)
		}
	}
	slices.Sort(target)
	slices.Sort(source)
	switch {
	case !slices.Equal(source, target):
		return fmt.Errorf("the source has columns %s, the target %s", strings.Join(source, ", "), strings.Join(target, ", "))
	case len(t.order) == 0 || len(t.key()) == 0:
		return fmt.Errorf("no primary key")
	}
	return nil
}

// inOrder returns the tables, referenced tables before the tables that refer to them.
func inOrder(ctx context.Context, target *pgx.Conn, tables map[string]*copyTable) ([]copyTable, error) {
	rows, err := target.Query(ctx, `
		SELECT DISTINCT c.relname, r.relname FROM pg_constraint f
		JOIN pg_class c ON c.oid = f.conrelid JOIN pg_class r ON r.oid = f.confrelid
		WHERE f.contype = 'f' AND f.conrelid <> f.confrelid
			AND NOT c.relispartition AND NOT r.relispartition AND c.relnamespace = current_schema()::regnamespace`)
	if err != nil {
		return nil, err
	}
	refers := map[string][]string{}
	var from, to string
	if _, err := pgx.ForEachRow(rows, []any{&from, &to}, func() error {
		refers[from] = append(refers[from], to)
		return nil
	}); err != nil {
		return nil, err
	}
	var ordered []copyTable
	placed := map[string]bool{}
	isPlaced := func(name string) bool { return placed[name] }
	for len(placed) < len(tables) {
		before := len(placed)
		for _, name := range slices.Sorted(maps.Keys(tables)) {
			if !placed[name] && all(refers[name], isPlaced) {
				ordered, placed[name] = append(ordered, *tables[name]), true
			}
		}
		if len(placed) == before {
			return nil, fmt.Errorf("foreign keys form a cycle")
		}
	}
	return ordered, nil
}

func all(names []string, ok func(string) bool) bool {
	return !slices.ContainsFunc(names, func(n string) bool { return !ok(n) })
}

// key returns the indices of the columns of the target's primary key.
func (t copyTable) key() []int {
	var key []int
	for place := 0; ; place++ {
		i := slices.IndexFunc(t.columns, func(c copyColumn) bool { return c.key == place })
		if i < 0 {
			return key
		}
		key = append(key, i)
	}
}

func quoted(name string) string { return pgx.Identifier{name}.Sanitize() }

func (t copyTable) ident() string { return quoted(t.name) }

func (t copyTable) where() string {
	if t.name == settingsTable {
		return copyWhere
	}
	return ""
}

// list returns the names of columns, each after prefix.
func (t copyTable) list(prefix string) string {
	var names []string
	for _, c := range t.columns {
		names = append(names, prefix+quoted(c.name))
	}
	return strings.Join(names, ", ")
}

// params returns "$1::text[], …" for columns that are passed as arrays.
func (t copyTable) params(columns []copyColumn) string {
	var list []string
	for i, c := range columns {
		list = append(list, fmt.Sprintf("$%d::%s[]", i+1, c.kind))
	}
	return strings.Join(list, ", ")
}

// insert returns the statement that adds the missing rows, passed as an array for each
// column.
func (t copyTable) insert() string {
	return `INSERT INTO ` + t.ident() + ` (` + t.list("") + `) OVERRIDING SYSTEM VALUE
		SELECT * FROM unnest(` + t.params(t.columns) + `) ON CONFLICT DO NOTHING`
}

// read returns the query for the rows of the source in the order of its key, without the
// first $1 rows.
func (t copyTable) read() string {
	var order []string
	for _, name := range t.order {
		order = append(order, quoted(name))
	}
	return `SELECT ` + t.list("") + ` FROM ` + t.ident() + t.where() + ` ORDER BY ` + strings.Join(order, ", ") + ` LIMIT -1 OFFSET $1`
}

// find returns the query for rows by keys, passed as an array for each column of the key.
func (t copyTable) find() string {
	var names, conditions []string
	var columns []copyColumn
	for n, i := range t.key() {
		c := t.columns[i]
		columns = append(columns, c)
		names = append(names, fmt.Sprintf("k%d", n))
		conditions = append(conditions, fmt.Sprintf("t.%s = k%d", quoted(c.name), n))
	}
	return `SELECT ` + t.list("t.") + ` FROM unnest(` + t.params(columns) + `) AS k (` + strings.Join(names, ", ") + `)
		JOIN ` + t.ident() + ` t ON ` + strings.Join(conditions, " AND ")
}

func (t copyTable) count(ctx context.Context, target *pgx.Conn) (n int, err error) {
	err = target.QueryRow(ctx, `SELECT COUNT(*) FROM `+t.ident()+t.where()).Scan(&n)
	return n, err
}

// advance returns the statements that set the sequences of identity columns past the copied
// rows.
func (t copyTable) advance() []string {
	var queries []string
	for _, c := range t.columns {
		if c.identity {
			queries = append(queries, fmt.Sprintf(`SELECT setval(pg_get_serial_sequence('%s', '%s'), MAX(%s)) FROM %s HAVING MAX(%[3]s) IS NOT NULL`,
				strings.ReplaceAll(t.ident(), "'", "''"), strings.ReplaceAll(c.name, "'", "''"), quoted(c.name), t.ident()))
		}
	}
	return queries
}
