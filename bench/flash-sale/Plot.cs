using System.Globalization;
using System.Text;
using Marketplace.Bench.FlashSale.Traffic;

namespace Marketplace.Bench.FlashSale;

/// <summary>The course of a sale as one picture: requests a second above, what became of the units below, both over the same time.</summary>
internal static class Plot
{
    private const int Width = 1120;
    private const int Left = 80;
    private const int Right = 150;
    private const int PanelHeight = 250;
    private const int Gap = 62;
    private const int Top = 96;

    /// <param name="start">Of the sale, on the clock of <paramref name="figures"/>.</param>
    public static string Draw(string title, Figures figures, IReadOnlyList<Sample> samples, IReadOnlyList<(string What, TimeSpan At)> kills, TimeSpan from, TimeSpan start, TimeSpan to, int units)
    {
        var svg = new StringBuilder();
        const int height = Top + 3 * PanelHeight + 2 * Gap + 36;
        svg.Append(Invariant($"""
            <svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {Width} {height}" width="{Width}" height="{height}" font-family="system-ui, sans-serif" font-size="13">
            <rect width="100%" height="100%" fill="#ffffff"/>
            <text x="{Left}" y="28" font-size="18" font-weight="600" fill="#1b1b1b">{title}</text>
            <text x="{Left}" y="52" fill="#555">seconds from the start of the sale; dashed red: a process killed with SIGKILL</text>

            """));

        var begin = (int)from.TotalSeconds;
        var end = Math.Max(begin + 2, (int)Math.Ceiling(to.TotalSeconds));
        var seconds = Enumerable.Range(begin, end - begin).ToList();
        double X(double second) => Left + (second - begin) / (end - begin) * (Width - Left - Right);

        List<(double, double)> Rate(Kind kind)
        {
            var all = figures.BySecond(kind);
            return [.. seconds.Select(second => (second + 0.5, second < all.Count ? (double)all[second] : 0))];
        }

        Panel(0, "requests a second", [("polls", "#2a6fdb", Rate(Kind.Poll)), ("joins", "#1f9d55", Rate(Kind.Join)), ("events watched", "#8a63d2", Rate(Kind.Watch))]);
        Panel(1, "people", [("joined", "#1f9d55", Of(sample => sample.Joined)), ("admitted", "#e08a00", Of(sample => sample.Admitted))]);
        Panel(2, "units", [("claimed", "#e08a00", Of(sample => sample.Claimed)), ("paid", "#1f9d55", Of(sample => sample.Paid)), ("remaining", "#555555", Of(sample => sample.Remaining)), ("waiting list", "#8a63d2", Of(sample => sample.WaitingList))], units);
        return svg.Append("</svg>\n").ToString();

        List<(double, double)> Of(Func<Sample, long> what) => [.. samples.Where(sample => sample.At >= from && sample.At <= to).Select(sample => (sample.At.TotalSeconds, (double)what(sample)))];

        void Panel(int number, string name, IReadOnlyList<(string Name, string Colour, List<(double X, double Y)> Points)> lines, double atLeast = 1)
        {
            var top = Top + number * (PanelHeight + Gap);
            var most = RoundUp(Math.Max(atLeast, lines.SelectMany(line => line.Points).Select(point => point.Y).DefaultIfEmpty(0).Max()));
            double Y(double value) => top + PanelHeight - value / most * PanelHeight;

            for (var mark = 0; mark <= 4; mark++)
            {
                var value = most * mark / 4;
                svg.Append(Invariant($"""<line x1="{Left}" x2="{Width - Right}" y1="{Y(value):0.#}" y2="{Y(value):0.#}" stroke="#e4e4e4"/><text x="{Left - 8}" y="{Y(value) + 4:0.#}" text-anchor="end" fill="#555">{Number(value)}</text>""")).Append('\n');
            }

            var step = RoundUp((end - begin) / 12.0);
            for (var mark = Math.Ceiling((begin - start.TotalSeconds) / step) * step; mark + start.TotalSeconds <= end; mark += step)
                svg.Append(Invariant($"""<text x="{X(mark + start.TotalSeconds):0.#}" y="{top + PanelHeight + 18}" text-anchor="middle" fill="#555">{mark:0.##}</text>""")).Append('\n');
            svg.Append(Invariant($"""<text x="{Left}" y="{top - 10}" font-weight="600" fill="#1b1b1b">{name}</text>""")).Append('\n');
            svg.Append(Invariant($"""<line x1="{X(start.TotalSeconds):0.#}" x2="{X(start.TotalSeconds):0.#}" y1="{top}" y2="{top + PanelHeight}" stroke="#1b1b1b" stroke-width="1.5"/>""")).Append('\n');
            foreach (var (what, at) in kills)
            {
                svg.Append(Invariant($"""<line x1="{X(at.TotalSeconds):0.#}" x2="{X(at.TotalSeconds):0.#}" y1="{top}" y2="{top + PanelHeight}" stroke="#c62828" stroke-dasharray="5 4"/>""")).Append('\n');
                if (number == 0) svg.Append(Invariant($"""<text x="{X(at.TotalSeconds) + 5:0.#}" y="{top + 14 + 16 * kills.ToList().FindIndex(kill => kill.What == what)}" fill="#c62828">{what}</text>""")).Append('\n');
            }

            var labels = new List<double>();
            foreach (var (label, colour, points) in lines.Where(line => line.Points.Count > 0).OrderByDescending(line => line.Points[^1].Y))
            {
                svg.Append(Invariant($"""<polyline fill="none" stroke="{colour}" stroke-width="2" points="{string.Join(' ', points.Select(point => Invariant($"{X(point.X):0.#},{Y(point.Y):0.#}")))}"/>""")).Append('\n');
                var at = Math.Max(Y(points[^1].Y) + 4, labels.Count > 0 ? labels[^1] + 16 : 0);      // under the one above, where they would cover each other
                labels.Add(at);
                svg.Append(Invariant($"""<text x="{Width - Right + 8}" y="{at:0.#}" fill="{colour}">{label}</text>""")).Append('\n');
            }
        }
    }

    private static double RoundUp(double value)
    {
        var unit = Math.Pow(10, Math.Floor(Math.Log10(value)));
        return unit * ((double[])[1, 2, 2.5, 5, 10]).First(step => value <= unit * step * 1.0000001);
    }

    private static string Number(double value) => value.ToString(value >= 1000 ? "#,0" : "0.##", CultureInfo.InvariantCulture);

    private static string Invariant(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
