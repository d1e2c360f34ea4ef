package eventstore_test

import (
	"errors"
	"fmt"

	eventstore "github.com/nats-eventstore/nats-eventstore/client"
)

// The events of courses and of the students who subscribe to them. Their tags say whom each concerns.
type (
	CourseDefined struct {
		Course string
		Seats  int
	}
	StudentSubscribed struct{ Course, Student string }
)

func (e CourseDefined) Tags() []string { return []string{"course:" + e.Course} }
func (e StudentSubscribed) Tags() []string {
	return []string{"course:" + e.Course, "student:" + e.Student}
}

// Enrolment is what a subscription depends on: the course's seats, and the student's other courses.
type Enrolment struct {
	Seats, Taken int
	Courses      int // of the student
	Subscribed   bool
}

var (
	errNoCourse = errors.New("there is no such course")
	errFull     = errors.New("the course is full")
	errTooMany  = errors.New("the student has two courses already")
)

func enrolments(client *eventstore.Client, course, student string) *eventstore.Decider[Enrolment] {
	registry := eventstore.NewRegistry()
	eventstore.Register[CourseDefined](registry, "CourseDefined")
	eventstore.Register[StudentSubscribed](registry, "StudentSubscribed")
	return &eventstore.Decider[Enrolment]{
		Client: client, Channel: "eventstore.courses", Registry: registry,
		Apply: func(e Enrolment, event *eventstore.Event) Enrolment {
			switch data := event.Data.(type) {
			case CourseDefined:
				e.Seats = data.Seats
			case StudentSubscribed:
				if data.Course == course {
					e.Taken++
				}
				if data.Student == student {
					e.Courses++
				}
				e.Subscribed = e.Subscribed || data.Course == course && data.Student == student
			}
			return e
		},
	}
}

// A decision that concerns a course and a student: neither is the aggregate of the other. The query says which events matter.
// The decision is stored if no other event that matters was stored meanwhile.
func ExampleDecider() {
	ctx, client, stop := connect()
	defer stop()
	define := []eventstore.NewEvent{}
	for course, seats := range map[string]int{"art": 1, "biology": 9, "chess": 9} {
		define = append(define, eventstore.NewEvent{
			Type: "CourseDefined", AggregateType: "Course", AggregateID: course, Tags: []string{"course:" + course},
			Payload: fmt.Appendf(nil, `{"Course":%q,"Seats":%d}`, course, seats),
		})
	}
	if _, err := client.Append(ctx, "eventstore.courses", define); err != nil {
		fmt.Println(err)
	}

	enrol := func(course, student string) error {
		matters := eventstore.Query{Items: []eventstore.QueryItem{{Tags: []string{"course:" + course}}, {Tags: []string{"student:" + student}}}}
		_, err := enrolments(client, course, student).Decide(ctx, matters, func(e Enrolment) ([]eventstore.NewEvent, error) {
			switch {
			case e.Seats == 0:
				return nil, errNoCourse
			case e.Subscribed:
				return nil, nil
			case e.Taken >= e.Seats:
				return nil, errFull
			case e.Courses >= 2:
				return nil, errTooMany
			}
			return []eventstore.NewEvent{{
				AggregateType: "Course", AggregateID: course, Data: StudentSubscribed{course, student},
			}}, nil
		})
		return err
	}
	fmt.Println("ada, art:", enrol("art", "ada"))
	fmt.Println("bob, art:", enrol("art", "bob"))
	fmt.Println("ada, biology:", enrol("biology", "ada"))
	fmt.Println("ada, chess:", enrol("chess", "ada"))
	fmt.Println("ada, art again:", enrol("art", "ada"))
	fmt.Println("bob, dance:", enrol("dance", "bob"))
	// Output:
	// ada, art: <nil>
	// bob, art: the course is full
	// ada, biology: <nil>
	// ada, chess: the student has two courses already
	// ada, art again: <nil>
	// bob, dance: there is no such course
}
