package main

import (
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	messaging "heliograph.dev/heliograph/messaging/v1"
)

// grpcCode names the status code of a refusal, as `Unauthenticated`.
func grpcCode(err error) string { return status.Code(err).String() }

// unsettled tells whether a message waits for a worker or for its provider.
func unsettled(message *messaging.Message, err error) bool {
	if err != nil {
		return status.Code(err) == codes.NotFound
	}
	return message.Status == messaging.MessageStatus_MESSAGE_STATUS_CLAIMED ||
		message.Status == messaging.MessageStatus_MESSAGE_STATUS_DISPATCHING
}
