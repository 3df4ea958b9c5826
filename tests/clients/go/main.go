// A client as an application developer would write it: create a project, import, count and send.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/structpb"

	messaging "heliograph.dev/heliograph/messaging/v1"
	projects "heliograph.dev/heliograph/projects/v1"
	segments "heliograph.dev/heliograph/segments/v1"
)

type answer struct {
	Project  string `json:"project"`
	Imported int64  `json:"imported"`
	Failed   int64  `json:"failed"`
	Counted  int64  `json:"counted"`
	Status   string `json:"status"`
	Refused  string `json:"refused"`
}

func must[T any](value T, err error) T {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return value
}

func dial(service string) *grpc.ClientConn {
	return must(grpc.NewClient(os.Getenv("HELIOGRAPH_"+service), grpc.WithTransportCredentials(insecure.NewCredentials())))
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+os.Getenv("HELIOGRAPH_KEY"))
	id := os.Getenv("HELIOGRAPH_PROJECT")
	parent := "projects/" + id
	var told answer

	projectClient := projects.NewProjectServiceClient(dial("PROJECTS"))
	project := must(projectClient.CreateProject(ctx, &projects.CreateProjectRequest{
		ProjectId: id, Project: &projects.Project{DisplayName: "From Go"}}))
	told.Project = project.Name

	segmentConn := dial("SEGMENTS")
	jobs := segments.NewJobServiceClient(segmentConn)
	job := must(jobs.CreateImportJob(ctx, &segments.CreateImportJobRequest{Parent: parent,
		ImportJob: &segments.ImportJob{Format: segments.ImportJob_FORMAT_CSV, Source: os.Getenv("HELIOGRAPH_SOURCE")}}))
	for job.State != segments.ImportJob_STATE_COMPLETED && job.State != segments.ImportJob_STATE_FAILED {
		time.Sleep(50 * time.Millisecond)
		job = must(jobs.GetImportJob(ctx, &segments.GetImportJobRequest{Name: job.Name}))
	}
	told.Imported, told.Failed = job.CreatedCount, job.FailedCount

	gold := &segments.SegmentRules{Groups: []*segments.SegmentGroup{{Dimensions: []*segments.SegmentDimensions{{
		Attributes: map[string]*segments.AttributeDimension{"Tier": {
			Operator: segments.AttributeDimension_OPERATOR_INCLUSIVE, Values: []string{"gold"}}}}}}}}
	count := must(segments.NewSegmentServiceClient(segmentConn).CountSegment(ctx, &segments.CountSegmentRequest{
		Parent: parent, Audience: &segments.CountSegmentRequest_Rules{Rules: gold}}))
	told.Counted = count.MemberCount

	messagingConn := dial("MESSAGING")
	settings := must(structpb.NewStruct(map[string]any{"seed": "go"}))
	must(messaging.NewChannelServiceClient(messagingConn).UpdateChannel(ctx, &messaging.UpdateChannelRequest{
		Channel: &messaging.Channel{Name: parent + "/channels/EMAIL", Provider: "simulator", Settings: settings,
			FromAddress: "shop@example.com", Enabled: true}}))
	messages := messaging.NewMessageServiceClient(messagingConn)
	sent := must(messages.SendMessages(ctx, &messaging.SendMessagesRequest{Parent: parent, Channel: "EMAIL",
		Content:    &messaging.MessageContent{EmailSubject: "Hello", EmailText: "from Go"},
		Recipients: []*messaging.Recipient{{Address: "ann@example.com"}}, RequestId: "one"}))
	// A message is in the ledger as soon as a worker has taken it from the bus, and settled a moment later.
	name := sent.Messages[0].Message
	message, err := messages.GetMessage(ctx, &messaging.GetMessageRequest{Name: name})
	for unsettled(message, err) {
		time.Sleep(50 * time.Millisecond)
		message, err = messages.GetMessage(ctx, &messaging.GetMessageRequest{Name: name})
	}
	must(message, err)
	told.Status = message.Status.String()

	wrong := metadata.AppendToOutgoingContext(context.Background(), "authorization", "Bearer hg_no_such")
	if _, err := projectClient.GetProject(wrong, &projects.GetProjectRequest{Name: parent}); err != nil {
		told.Refused = grpcCode(err)
	}
	fmt.Println(string(must(json.Marshal(told))))
}
