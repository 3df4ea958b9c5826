package main

import "google.golang.org/grpc/status"

// grpcCode names the status code of a refusal, as `Unauthenticated`.
func grpcCode(err error) string { return status.Code(err).String() }
