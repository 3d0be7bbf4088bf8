package jobs_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/jobs"
)

func ExampleClient_Send() {
	ctx := context.Background()
	options, err := redis.ParseURL(redisURL) // where the workers' Redis is
	if err != nil {
		log.Fatal(err)
	}
	rdb := redis.NewClient(options)
	defer rdb.Close()

	client, err := jobs.NewClient(rdb, jobs.Options{})
	if err != nil {
		log.Fatal(err)
	}
	receipt, err := client.Send(ctx, jobs.Message{
		From:     "+12065550100",
		To:       "(206) 555-0123",
		Body:     "Your code is 8731",
		Priority: jobs.PriorityOTP,
		Key:      "login-42", // the same key again is the same message
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(receipt.State)
	// Output: queued
}

func ExampleClient_SendAll() {
	ctx := context.Background()
	options, err := redis.ParseURL(redisURL)
	if err != nil {
		log.Fatal(err)
	}
	rdb := redis.NewClient(options)
	defer rdb.Close()
	client, err := jobs.NewClient(rdb, jobs.Options{})
	if err != nil {
		log.Fatal(err)
	}

	customers := []struct{ ID, Name, Phone string }{
		{"c-1", "Ada", "+12065550123"},
		{"c-2", "Bob", "206-555"},
		{"c-3", "Cleo", "+12065550125"},
	}
	messages := func(yield func(jobs.Message) bool) {
		for _, customer := range customers {
			more := yield(jobs.Message{
				From:     "+12065550100",
				To:       customer.Phone,
				Body:     "Hi " + customer.Name + ", the spring sale has begun!",
				Priority: jobs.PriorityBulk,
				Campaign: "spring",
				Key:      "spring/" + customer.ID, // running the program twice texts nobody twice
			})
			if !more {
				return
			}
		}
	}
	i := 0
	for receipt, err := range client.SendAll(ctx, messages) { // one result a message, in order
		if err != nil {
			fmt.Println(customers[i].Name, err)
		} else {
			fmt.Println(customers[i].Name, receipt.State)
		}
		i++
	}
	// Output:
	// Ada queued
	// Bob send message: to: has no country code: it needs +, or ten digits with an area code (want a number like +12065550100)
	// Cleo queued
}

func ExampleClient_Purchase() {
	ctx := context.Background()
	client, done := exampleClient()
	defer done()
	receipt, err := client.Purchase(ctx, jobs.Purchase{
		Search:         &jobs.NumberSearch{StartsWith: "206", State: "WA"},
		MaxSetupCost:   "1.00",
		MaxMonthlyCost: "1.25",
		Alias:          "Support line",
		PrimaryRoute:   &jobs.RouteSpec{Type: "host", Value: "sip.example.com:5060"},
		Key:            "support-line", // one number is bought, however often this runs
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(receipt.State)
	// Output: queued
}

// Wait needs a worker somewhere; here nobody works, so the time runs out.
func ExampleClient_Wait() {
	client, done := exampleClient()
	defer done()
	ctx, stop := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer stop()
	receipt, err := client.Send(ctx, jobs.Message{From: "+12065550100", To: "+12065550123", Body: "hello"})
	if err != nil {
		log.Fatal(err)
	}
	job, err := client.Wait(ctx, receipt.ID)
	if errors.Is(err, context.DeadlineExceeded) {
		fmt.Println("still", job.State)
	}
	// Output: still queued
}

func ExampleValidationError() {
	client, done := exampleClient()
	defer done()
	_, err := client.Send(context.Background(), jobs.Message{From: "+12065550100", To: "+1 999 555 0123", MediaURLs: []string{"cat.jpg"}})
	if invalid, ok := errors.AsType[*jobs.ValidationError](err); ok {
		for _, problem := range invalid.Problems {
			fmt.Println(problem.Field, problem.Code)
		}
	}
	// Output:
	// to invalid
	// media_urls[0] invalid
}

// An app that knows only asynq: no import of this package is needed.
func ExampleParseTask() {
	options, err := redis.ParseURL(redisURL)
	if err != nil {
		log.Fatal(err)
	}
	rdb := redis.NewClient(options)
	defer rdb.Close()
	payload := `{"v":1,"from":"+12065550100","to":"+12065550123","body":"hello"}`
	info, err := asynq.NewClientFromRedisClient(rdb).Enqueue(
		asynq.NewTask("send-message", []byte(payload)),
		asynq.Queue("normal"), asynq.TaskID("order-17"))
	if err != nil {
		log.Fatal(err)
	}
	// What a worker does with it:
	task, err := jobs.ParseTask(jobs.TypeSendMessage, info.ID, info.Queue, info.Payload)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(task.Nudge, task.Job.Queue, task.Job.To)
	// Output: false normal +12065550123
}

func exampleClient() (client *jobs.Client, done func()) {
	options, err := redis.ParseURL(redisURL)
	if err != nil {
		log.Fatal(err)
	}
	rdb := redis.NewClient(options)
	client, err = jobs.NewClient(rdb, jobs.Options{})
	if err != nil {
		log.Fatal(err)
	}
	return client, func() { rdb.Close() }
}
