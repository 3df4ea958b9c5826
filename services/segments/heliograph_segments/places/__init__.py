"""Where jobs read and write: folders, hosts and buckets, each only as far as the settings allow. Blocking: use threads."""
