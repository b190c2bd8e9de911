package copy

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"countersign/internal/store/postgres"
)

// makePartitions makes a partition for each month of a table's rows. The server makes only
// the partitions of present and future months.
func (c *copier) makePartitions(ctx context.Context, t copyTable) error {
	if t.partitionBy == "" {
		return nil
	}
	var first, last sql.NullInt64
	by := quoted(t.partitionBy)
	if err := c.source.conn.QueryRowContext(ctx, `SELECT MIN(`+by+`), MAX(`+by+`) FROM `+t.ident()).Scan(&first, &last); err != nil || !first.Valid {
		return err
	}
	end := time.UnixMilli(last.Int64)
	for from := postgres.Month(time.UnixMilli(first.Int64)); !from.After(end); from = postgres.NextMonth(from) {
		name := quoted(postgres.PartitionName(t.name, from))
		if _, err := c.target.Exec(ctx, `CREATE TABLE IF NOT EXISTS `+name+` PARTITION OF `+t.ident()+` `+postgres.PartitionBounds(from)); err != nil {
			return fmt.Errorf("make partition %s: %w", name, err)
		}
	}
	return nil
}
