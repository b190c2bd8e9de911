package filelock

// From <sys/fcntl.h>.
const (
	setLock = 90 // F_OFD_SETLK
	getLock = 92 // F_OFD_GETLK
)
