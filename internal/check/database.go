package check

import (
	"context"
	"errors"
	"fmt"
	"time"

	"countersign/internal/clock"
	"countersign/internal/store"
)

// reachable checks that the database can be opened, and that its schema is known.
func reachable(_ context.Context, in *installation) []Finding {
	s := in.survey()
	database, err := in.Config.StoreDatabase()
	switch {
	case err != nil:
		return fail("database", err.Error(), "set sqlite:PATH or postgres://USER@HOST/NAME")
	case s.err != nil:
		return fail("database", s.err.Error(), unreachableRemedy(database))
	case s.state < store.Prepared && !missing(in.Config.KeyFile):
		return fail("database", fmt.Sprintf("key file %s exists, but database %s %s", in.Config.KeyFile, store.Redact(database), s.state),
			"mount its volume, or restore a backup; for a new installation run: countersign migrate up")
	case s.state < store.Prepared:
		return warn("database", fmt.Sprintf("database %s %s", store.Redact(database), s.state),
			"correct the setting, or create a new installation with: countersign migrate up")
	case errors.Is(s.readErr, store.ErrOlderSchema):
		return warn("database", s.readErr.Error(), "back it up, then start the server, which migrates it, or run: countersign migrate up")
	case errors.Is(s.readErr, store.ErrOldSchema):
		return fail("database", s.readErr.Error(), "name a new database, or move the old one away")
	case errors.Is(s.readErr, store.ErrNewerSchema):
		return fail("database", s.readErr.Error(), "run the release that changed it, or restore a backup")
	case s.readErr != nil:
		return fail("database", s.readErr.Error(), unreachableRemedy(database))
	}
	return nil
}

func unreachableRemedy(database string) string {
	if store.IsPostgres(database) {
		return "start PostgreSQL, or correct host, port, user, password and database name in the URL"
	}
	return "make the file readable and writable for " + userName() + ", or restore a backup"
}

// clockSkew compares the clocks of this machine and of PostgreSQL.
func clockSkew(ctx context.Context, in *installation) (found []Finding) {
	database, err := in.Config.StoreDatabase()
	if err != nil || !store.IsPostgres(database) || in.survey().err != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, surveyTimeout)
	defer cancel()
	err = store.WithServerTime(ctx, database, func(read func(context.Context) (time.Time, error)) error {
		before := in.Now()
		there, err := read(ctx)
		if err != nil {
			return err
		}
		after := in.Now()
		found = skewed(before.Add(after.Sub(before)/2).Sub(there), after.Sub(before), in.Config.Clock.MaxSkew)
		return nil
	})
	if err != nil {
		return warn("database", "cannot read the clock of the database: "+err.Error(), "check the connection to PostgreSQL")
	}
	return found
}

// skewed judges a difference between the clocks, measured in a round trip. Half of the
// round trip is the error of the reading.
func skewed(skew, trip, most time.Duration) []Finding {
	size := skew.Abs() - trip/2
	if size < clock.WarnSkew {
		return nil
	}
	direction := "ahead of"
	if skew < 0 {
		direction = "behind"
	}
	problem := fmt.Sprintf("the clock of this machine is %s %s the clock of the database", skew.Abs().Round(10*time.Millisecond), direction)
	const remedy = "synchronize both machines with NTP (chronyc tracking, timedatectl)"
	if size > most {
		return fail("clock.max_skew", fmt.Sprintf("%s, and a server is not ready beyond %s", problem, most), remedy)
	}
	return warn("clock.max_skew", problem, remedy)
}
