// Command dashboard writes the Grafana dashboard of deploy/. Grafana's own types make it, and read it back strictly.
package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/cog/variants"
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"
	"github.com/grafana/grafana-foundation-sdk/go/stat"
	"github.com/grafana/grafana-foundation-sdk/go/timeseries"
)

// schema is that of Grafana 10.0. Later versions migrate it.
const schema = 38

// source is the data source that the reader chooses.
var source = common.DataSourceRef{Type: new("prometheus"), Uid: new("${datasource}")}

func main() {
	if err := run(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "dashboard:", err)
		os.Exit(1)
	}
}

func run(out io.Writer) error {
	d, err := build()
	if err != nil {
		return err
	}
	d.SchemaVersion = schema
	text, err := json.MarshalIndent(d, "", "  ")
	if err != nil {
		return err
	}
	cog.NewRuntime().RegisterPanelcfgVariant(stat.VariantConfig())
	cog.NewRuntime().RegisterPanelcfgVariant(timeseries.VariantConfig())
	cog.NewRuntime().RegisterDataqueryVariant(prometheus.VariantConfig())
	var problems cog.BuildErrors // an empty list is an error, too, but not a problem
	if err := new(dashboard.Dashboard).UnmarshalJSONStrict(text); err != nil && (!errors.As(err, &problems) || len(problems) > 0) {
		return fmt.Errorf("not the schema of Grafana: %w", err)
	}
	_, err = fmt.Fprintf(out, "%s\n", text)
	return err
}

func build() (dashboard.Dashboard, error) {
	d := dashboard.NewDashboardBuilder("NATS Streaming event store").
		Uid("nats-eventstore").
		Description("Servers of one database: who is active, what publishers and subscribers notice, and the database behind. docs/operate/monitoring.md explains the metrics.").
		Tags([]string{"nats", "nats-streaming", "eventstore"}).
		Time("now-1h", "now").
		Refresh("30s").
		Timezone("browser").
		Tooltip(dashboard.DashboardCursorSyncCrosshair).
		Annotation(dashboard.NewAnnotationQueryBuilder().
			Name("Alerts").
			Datasource(source).
			IconColor("red").
			Expr(`ALERTS{alertname=~"Streaming.*", alertstate="firing"}`).
			TitleFormat("{{alertname}}").
			TextFormat("{{instance}} {{cluster_id}}")).
		WithVariable(dashboard.NewDatasourceVariableBuilder("datasource").Label("Data source").Type("prometheus")).
		WithVariable(query("cluster", "Cluster", "label_values(nats_streaming_info, cluster_id)")).
		WithVariable(query("instance", "Server", `label_values(nats_streaming_info{cluster_id="$cluster"}, instance)`).Multi(true).IncludeAll(true).
			Current(dashboard.VariableOption{Text: choice("All"), Value: choice("$__all")}))
	id := uint32(0)
	for _, r := range rows {
		id++
		d = d.WithRow(dashboard.NewRowBuilder(r.title).Id(id))
		for _, p := range r.panels {
			id++
			d = d.WithPanel(p.build(id))
		}
	}
	return d.Build()
}

func query(name, label, text string) *dashboard.QueryVariableBuilder {
	return dashboard.NewQueryVariableBuilder(name).
		Label(label).
		Datasource(source).
		Query(dashboard.StringOrMap{String: &text}).
		Refresh(dashboard.VariableRefreshOnTimeRangeChanged).
		Sort(dashboard.VariableSortAlphabeticalAsc)
}

func choice(text string) dashboard.StringOrArrayOfString {
	return dashboard.StringOrArrayOfString{String: &text}
}

// row is a row of panels.
type row struct {
	title  string
	panels []panel
}

// panel is a graph or, as a figure, the last value alone.
type panel struct {
	title, description string
	unit               string // as Grafana calls it
	width              uint32 // of 24
	figure             bool
	// names shows the legends in a figure, not the values.
	names  bool
	limits []limit
	max    float64 // of the axis; 0: none
	series []series
}

// series are what one query returns.
type series struct {
	legend string
	query  string // {servers} stands for the chosen servers
}

// limit is a value from which a panel has another colour.
type limit struct {
	from  float64
	color string
}

func (p panel) build(id uint32) cog.Builder[dashboard.Panel] {
	unit, height := cmp.Or(p.unit, "short"), uint32(8)
	if p.figure && !p.names {
		height = 4
	}
	if p.figure {
		b := stat.NewPanelBuilder().Id(id).Title(p.title).Description(p.description).Datasource(source).Unit(unit).Span(p.width).Height(height).
			Orientation(common.VizOrientationAuto).Targets(p.targets()).Thresholds(p.thresholds()).ColorMode(common.BigValueColorModeValue).GraphMode(common.BigValueGraphModeArea).
			ReduceOptions(common.NewReduceDataOptionsBuilder().Calcs([]string{"lastNotNull"}))
		if p.names {
			b = b.TextMode(common.BigValueTextModeName).GraphMode(common.BigValueGraphModeNone)
		}
		return b
	}
	b := timeseries.NewPanelBuilder().Id(id).Title(p.title).Description(p.description).Datasource(source).Unit(unit).Span(p.width).Height(height).
		Targets(p.targets()).Thresholds(p.thresholds()).Min(0).FillOpacity(10).ShowPoints(common.VisibilityModeNever).
		Legend(common.NewVizLegendOptionsBuilder().ShowLegend(true).DisplayMode(common.LegendDisplayModeTable).Placement(common.LegendPlacementBottom).
			Calcs([]string{"lastNotNull", "max"})).
		Tooltip(common.NewVizTooltipOptionsBuilder().Mode(common.TooltipDisplayModeMulti).Sort(common.SortOrderDescending))
	if p.max > 0 {
		b = b.Max(p.max)
	}
	if p.limits != nil {
		b = b.ThresholdsStyle(common.NewGraphThresholdsStyleConfigBuilder().Mode(common.GraphThresholdsStyleModeDashed))
	}
	return b
}

func (p panel) targets() (all []cog.Builder[variants.Dataquery]) {
	for i, s := range p.series {
		all = append(all, prometheus.NewDataqueryBuilder().
			RefId(string(rune('A'+i))).
			Datasource(source).
			Expr(strings.NewReplacer("{servers", `{instance=~"$instance"`).Replace(s.query)).
			LegendFormat(s.legend).
			Range())
	}
	return all
}

func (p panel) thresholds() *dashboard.ThresholdsConfigBuilder {
	steps := []dashboard.Threshold{{Color: "green"}}
	for _, l := range p.limits {
		steps = append(steps, dashboard.Threshold{Value: &l.from, Color: l.color})
	}
	return dashboard.NewThresholdsConfigBuilder().Mode(dashboard.ThresholdsModeAbsolute).Steps(steps)
}
