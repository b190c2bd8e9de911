package server

import (
	"fmt"
	"math"
	"syscall"

	"countersign/internal/config"
	"countersign/internal/store"
)

// Open files of the process besides API connections, by use.
const (
	baseFiles     = 32 // runtime, log, listeners, key and certificate files
	sqliteFiles   = 48 // connections, each with its database and write-ahead log
	postgresFiles = 32 // connections for reads and writes
	voiceFiles    = 4  // pipes of one speech process
	callFiles     = 2  // RTP and RTCP of one call
	trunkFiles    = 8  // sockets of SIP

	defaultConcurrency = 100
	defaultCalls       = 100
)

// affordable returns limits.connections, reduced to the files that the process may open:
// further connections would be dropped without a response. Go has already raised the soft
// limit of the system to the hard limit.
func (s *Server) affordable() (int, error) {
	files := s.opts.OpenFiles
	if files == 0 {
		var err error
		if files, err = OpenFiles(); err != nil {
			return 0, err
		}
	}
	cfg := s.opts.Config
	reserved := ReservedFiles(cfg)
	most := max(files-reserved, files/4, 1)
	configured := cfg.Limits.Connections
	if configured > 0 && configured <= most {
		return configured, nil
	}
	if configured > 0 {
		s.log.Warn("limits.connections reduced to the limit of open files; raise the limit of open files (LimitNOFILE, ulimit -n), or lower limits.connections",
			"configured", configured, "connections", most, "open_files", files, "reserved", reserved)
	}
	return most, nil
}

// OpenFiles returns the maximum number of open files of the process (RLIMIT_NOFILE).
func OpenFiles() (int, error) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0, fmt.Errorf("read the limit of open files: %w", err)
	}
	return int(min(limit.Cur, math.MaxInt32)), nil
}

// ReservedFiles returns an upper estimate of the open files besides API connections.
func ReservedFiles(cfg config.Config) int {
	files := baseFiles + 2*operatorConnections + voiceFiles*cfg.TTS.Processes
	if store.IsPostgres(cfg.Database) {
		files += postgresFiles
	} else {
		files += sqliteFiles
	}
	for _, c := range cfg.Carriers {
		if t := CarrierTypeOf(c); t.files != nil {
			files += t.files(c)
		}
	}
	return files
}
