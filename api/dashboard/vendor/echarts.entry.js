// The parts of ECharts that figures use; the canvas renderer needs no inline styles in markup.
export { init } from "echarts/core";
import { BarChart, HeatmapChart, LineChart, ParallelChart, ScatterChart } from "echarts/charts";
import {
  GridComponent, LegendComponent, MarkLineComponent, ParallelComponent, TooltipComponent,
  VisualMapComponent,
} from "echarts/components";
import { use } from "echarts/core";
import { CanvasRenderer } from "echarts/renderers";

use([
  BarChart, HeatmapChart, LineChart, ParallelChart, ScatterChart,
  GridComponent, LegendComponent, MarkLineComponent, ParallelComponent, TooltipComponent,
  VisualMapComponent, CanvasRenderer,
]);
