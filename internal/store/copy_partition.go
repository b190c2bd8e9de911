package store

import (
	"context"
	"database/sql"
	"fmt"
)

// makePartitions makes the partitions, one for each month, that the rows of a table
// go to. The server makes those of the time to come; these lie in the past.
func (c *copier) makePartitions(ctx context.Context, t copyTable) error {
	if t.partitionBy == "" {
		return nil
	}
	var first, last sql.NullInt64
	by := quoted(t.partitionBy)
	if err := c.source.conn.QueryRowContext(ctx, `SELECT MIN(`+by+`), MAX(`+by+`) FROM `+t.ident()).Scan(&first, &last); err != nil || !first.Valid {
		return err
	}
	for from := monthOf(fromMillis(first.Int64)); millis(from) <= last.Int64; from = nextMonth(from) {
		name := quoted(t.name + from.Format("_2006_01"))
		if _, err := c.target.Exec(ctx, fmt.Sprintf(`CREATE TABLE IF NOT EXISTS %s PARTITION OF %s FOR VALUES FROM (%d) TO (%d)`,
			name, t.ident(), millis(from), millis(nextMonth(from)))); err != nil {
			return fmt.Errorf("make partition %s: %w", name, err)
		}
	}
	return nil
}
