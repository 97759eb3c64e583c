using System.Net.Sockets;
using System.Net;
using Marketplace.Local.Launcher;
using Xunit;

namespace Marketplace.Local.Tests.Launcher;

public sealed class WhenTheLauncherDecides : IDisposable
{
    private readonly string folder = Directory.CreateTempSubdirectory("launcher-").FullName;

    public void Dispose() => Directory.Delete(folder, recursive: true);

    [Fact]
    public void Options_are_read_and_wrong_ones_named()
    {
        var options = LaunchOptions.Parse(["--data", "/tmp/x", "--components", "redis", "--instances", "inventory=2,cart=3", "--only", "cart,inventory", "--no-build", "--ports", "free", "--json"]);
        Assert.Equal(("/tmp/x", "redis", false, true, true), (options.Data, options.Components, options.Build, options.FreePorts, options.Json));
        Assert.Equal((2, 3), (options.Instances["inventory"], options.Instances["cart"]));
        Assert.Equal(["cart", "inventory"], options.Only!.Order());

        options = LaunchOptions.Parse(["--sidecar", "daprd", "--with", "order-feed-node,other", "--ports", "fixed", "--patience", "7"]);
        Assert.Equal((SidecarKind.Daprd, true, false, TimeSpan.FromSeconds(7)), (options.Sidecar, options.FixedPorts, options.FreePorts, options.Patience));
        Assert.Equal(["order-feed-node", "other"], options.With.Order());
        Assert.Null(options.Components);

        Assert.Contains("dapr", Assert.Throws<UsageException>(() => LaunchOptions.Parse(["--sidecar", "dapr"])).Message);
        Assert.Contains("some", Assert.Throws<UsageException>(() => LaunchOptions.Parse(["--ports", "some"])).Message);
        Assert.Contains("--patience", Assert.Throws<UsageException>(() => LaunchOptions.Parse(["--patience", "long"])).Message);
        Assert.Contains("--dta", Assert.Throws<UsageException>(() => LaunchOptions.Parse(["--dta", "x"])).Message);
        Assert.Contains("--data", Assert.Throws<UsageException>(() => LaunchOptions.Parse(["--data"])).Message);
        Assert.Contains("cart=0", Assert.Throws<UsageException>(() => LaunchOptions.Parse(["--instances", "cart=0"])).Message);
    }

    [Fact]
    public void A_taken_port_is_replaced_by_one_that_stays_the_same_next_time()
    {
        using var taken = new TcpListener(IPAddress.Loopback, 0);
        taken.Start();
        var usual = ((IPEndPoint)taken.LocalEndpoint).Port;
        var file = Path.Combine(folder, "ports.json");

        var book = new PortBook(file, onlyFreeOnes: false);
        var other = book.Take("cart", usual);
        book.Save();

        Assert.NotEqual(usual, other);
        Assert.True(PortBook.IsFree(other));
        Assert.Equal(other, new PortBook(file, onlyFreeOnes: false).Take("cart", usual));
        taken.Stop();
        Assert.Equal(usual, new PortBook(file, onlyFreeOnes: false).Take("cart", usual));
    }

    [Fact]
    public void Nobody_gets_a_port_twice()
    {
        var book = new PortBook(null, onlyFreeOnes: true);
        var ports = Enumerable.Range(0, 50).Select(number => book.Take($"app {number}", 8080)).ToList();
        Assert.Equal(50, ports.Distinct().Count());
        Assert.DoesNotContain(8080, ports);
    }

    [Fact]
    public void A_service_is_stale_when_any_source_is_newer_than_what_was_built()
    {
        var tree = new SourceTree(folder);
        var service = Directory.CreateDirectory(Path.Combine(folder, "services", "Shop")).FullName;
        var slice = Directory.CreateDirectory(Path.Combine(service, "Orders")).FullName;
        var shared = Directory.CreateDirectory(Path.Combine(folder, "services", "Shared", "Hosting")).FullName;
        var output = Path.Combine(Directory.CreateDirectory(Path.Combine(service, "bin", "Release", "net10.0")).FullName, "Shop.dll");
        string[] sources = [Path.Combine(service, "Shop.csproj"), Path.Combine(slice, "Order.cs"), Path.Combine(shared, "Outbox.cs")];
        Assert.True(new Builds(tree).IsStale(service, output));

        var now = DateTime.UtcNow;
        foreach (var source in sources.Append(output))
            File.WriteAllText(source, "");
        foreach (var old in sources)
            File.SetLastWriteTimeUtc(old, now.AddMinutes(-2));
        Directory.SetLastWriteTimeUtc(slice, now.AddMinutes(-2));
        File.SetLastWriteTimeUtc(output, now.AddMinutes(-1));
        Assert.False(new Builds(tree).IsStale(service, output));

        foreach (var touched in sources)
        {
            File.SetLastWriteTimeUtc(touched, now);
            Assert.True(new Builds(tree).IsStale(service, output), touched);
            File.SetLastWriteTimeUtc(touched, now.AddMinutes(-2));
        }

        Directory.SetLastWriteTimeUtc(slice, now);   // a file was deleted
        Assert.True(new Builds(tree).IsStale(service, output));
        File.WriteAllText(Path.Combine(Path.GetDirectoryName(output)!, ".built"), "");   // a build that had nothing to compile
        File.SetLastWriteTimeUtc(Path.Combine(Path.GetDirectoryName(output)!, ".built"), now.AddSeconds(1));
        Assert.False(new Builds(tree).IsStale(service, output));
    }

    [Fact]
    public void Passwords_are_made_once_and_are_nobody_elses_to_read()
    {
        var data = new DataFolder(folder);
        var first = KeyRing.Open(data);
        var (postgres, token) = (first.Postgres, first.AppToken);
        Assert.Equal((postgres, token), (KeyRing.Open(data).Postgres, KeyRing.Open(data).AppToken));
        Assert.NotEqual(postgres, token);
        if (!OperatingSystem.IsWindows())
            Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(data.Keys));
    }

    [Fact]
    public void A_second_launcher_on_one_folder_is_turned_away()
    {
        var data = new DataFolder(folder);
        using (var first = data.TryLock())
        {
            Assert.NotNull(first);
            Assert.Null(data.TryLock());
        }

        using var next = data.TryLock();
        Assert.NotNull(next);
    }
}
