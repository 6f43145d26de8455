package suite

import (
	"encoding/json"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
)

func modernEvent(namespace, name string) *eventsv1.Event {
	return &eventsv1.Event{
		ObjectMeta:          metav1.ObjectMeta{Name: name, Labels: map[string]string{"testevent": "true"}},
		Regarding:           corev1.ObjectReference{Namespace: namespace},
		EventTime:           metav1.MicroTime{Time: time.Unix(1505828956, 0)},
		Note:                "This is " + name,
		Action:              "Do",
		Reason:              "Test",
		Type:                "Normal",
		ReportingController: "test-controller",
		ReportingInstance:   "test-node",
	}
}

// TestEventsLife: an event is one object in both groups; its series is patched and updated, the rest of it stays.
func TestEventsLife(t *testing.T) {
	namespace := makeNamespace(t)
	modern, core := typed.EventsV1().Events(namespace), typed.CoreV1().Events(namespace)
	everywhere := typed.EventsV1().Events(metav1.NamespaceAll)
	_, err := modern.Create(t.Context(), modernEvent(namespace, "event-test"), metav1.CreateOptions{})
	must(t, err)
	listed := func() int {
		list, err := everywhere.List(t.Context(), metav1.ListOptions{LabelSelector: "testevent=true", FieldSelector: "metadata.namespace=" + namespace})
		must(t, err)
		return len(list.Items)
	}
	equal(t, "events in all namespaces", listed(), 1)
	sources, err := core.List(t.Context(), metav1.ListOptions{FieldSelector: "source=test-controller"})
	must(t, err)
	equal(t, "events of the source", len(sources.Items), 1)
	equal(t, "the old message", sources.Items[0].Message, "This is event-test")
	controllers, err := modern.List(t.Context(), metav1.ListOptions{FieldSelector: "reportingController=test-controller"})
	must(t, err)
	equal(t, "events of the controller", len(controllers.Items), 1)

	before, err := modern.Get(t.Context(), "event-test", metav1.GetOptions{})
	must(t, err)
	wanted := before.DeepCopy()
	wanted.Series = &eventsv1.EventSeries{Count: 2, LastObservedTime: metav1.MicroTime{Time: time.Unix(1505828951, 0)}}
	oldText, err := json.Marshal(before)
	must(t, err)
	newText, err := json.Marshal(wanted)
	must(t, err)
	patch, err := strategicpatch.CreateTwoWayMergePatch(oldText, newText, eventsv1.Event{})
	must(t, err)
	_, err = modern.Patch(t.Context(), "event-test", types.StrategicMergePatchType, patch, metav1.PatchOptions{})
	must(t, err)
	same := func(wanted *eventsv1.Event) *eventsv1.Event {
		got, err := modern.Get(t.Context(), "event-test", metav1.GetOptions{})
		must(t, err)
		seen := got.DeepCopy()
		for _, event := range []*eventsv1.Event{seen, wanted} {
			event.ResourceVersion, event.ManagedFields = "", nil
		}
		check(t, apiequality.Semantic.DeepEqual(seen, wanted), "the event is %v, not %v", seen, wanted)
		return got
	}
	current := same(wanted)
	current.Series = &eventsv1.EventSeries{Count: 100, LastObservedTime: metav1.MicroTime{Time: time.Unix(1505828956, 0)}}
	_, err = modern.Update(t.Context(), current, metav1.UpdateOptions{})
	must(t, err)
	current = same(current.DeepCopy())
	current.Note = "another"
	_, err = modern.Update(t.Context(), current, metav1.UpdateOptions{})
	check(t, apierrors.IsInvalid(err), "another note got %v", err)
	must(t, modern.Delete(t.Context(), "event-test", metav1.DeleteOptions{}))
	equal(t, "events that are left", listed(), 0)
}
