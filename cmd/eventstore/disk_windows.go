package main

import "golang.org/x/sys/windows"

// diskSpace returns the bytes of a file system that are free for this user, and all of them.
func diskSpace(dir string) (free, all uint64, err error) {
	name, err := windows.UTF16PtrFromString(dir)
	if err != nil {
		return 0, 0, err
	}
	err = windows.GetDiskFreeSpaceEx(name, &free, &all, nil)
	return free, all, err
}
