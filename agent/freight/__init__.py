"""What carries files and whole disks from one machine to another."""
