using System.Text.Json;

namespace Marketplace.Local.Provider;

/// <summary>
/// Everything the provider knows, in memory, with a journal that brings it back. Callers hold <see cref="Gate"/>: a request reads, decides and
/// commits within microseconds, so one lock is faster than anything finer.
/// </summary>
internal sealed class Ledger : IDisposable
{
    private const int CompactAbove = 8 << 20;
    private static readonly TimeSpan KeysAreKept = TimeSpan.FromHours(24);

    private readonly string path;
    private readonly TimeProvider time;
    private readonly Dictionary<string, Answered> answers = new(StringComparer.Ordinal);
    private readonly Dictionary<string, Happening> undelivered = new(StringComparer.Ordinal);
    private FileStream journal;

    public Ledger(string folder, TimeProvider time)
    {
        this.time = time;
        Directory.CreateDirectory(folder);
        path = Path.Combine(folder, "journal.ndjson");
        Load();
        if (File.Exists(path) && new FileInfo(path).Length > CompactAbove)
            Compact();
        journal = Open();
    }

    public Lock Gate { get; } = new();

    public Shelf<Intent> Intents { get; } = new();
    public Shelf<Charge> Charges { get; } = new();
    public Shelf<Refund> Refunds { get; } = new();
    public Shelf<Method> Methods { get; } = new();
    public Shelf<Customer> Customers { get; } = new();

    public IReadOnlyCollection<Happening> Undelivered => undelivered.Values;

    public Answered? AnswerFor(string key) =>
        answers.TryGetValue(key, out var answer) && answer.At > time.GetUtcNow().Subtract(KeysAreKept).ToUnixTimeSeconds() ? answer : null;

    /// <summary>Journal first, memory second: what a request was told survives the process.</summary>
    public void Commit(Change change)
    {
        Write(journal, change);
        Apply(change);
    }

    public void Reset()
    {
        Intents.Clear();
        Charges.Clear();
        Refunds.Clear();
        Methods.Clear();
        Customers.Clear();
        answers.Clear();
        undelivered.Clear();
        journal.SetLength(0);
    }

    public void Dispose() => journal.Dispose();

    // Unbuffered: the operating system has the line when Write returns, whatever then happens to this process.
    private FileStream Open()
    {
        var stream = new FileStream(path, new FileStreamOptions { Mode = FileMode.OpenOrCreate, Access = FileAccess.Write, Share = FileShare.Read, BufferSize = 0 });
        stream.Seek(0, SeekOrigin.End);
        return stream;
    }

    private static void Write(FileStream stream, Change change)
    {
        var json = JsonSerializer.SerializeToUtf8Bytes(change, JournalJson.Default.Change);
        Array.Resize(ref json, json.Length + 1);
        json[^1] = (byte)'\n';
        stream.Write(json);
    }

    private void Apply(Change change)
    {
        Intents.Put(change.Intents);
        Charges.Put(change.Charges);
        Refunds.Put(change.Refunds);
        Methods.Put(change.Methods);
        Customers.Put(change.Customers);
        foreach (var happening in change.Events ?? [])
            undelivered[happening.Id] = happening;
        if (change.Answer is { } answer)
            answers[answer.Key] = answer;
        if (change.Delivered is { } id)
            undelivered.Remove(id);
    }

    private void Load()
    {
        if (!File.Exists(path))
            return;
        var whole = 0L;
        using (var stream = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite, 1 << 16))
        using (var reader = new StreamReader(stream))
        {
            while (reader.ReadLine() is { } line)
            {
                Change? change;
                try
                {
                    change = JsonSerializer.Deserialize(line, JournalJson.Default.Change);
                }
                catch (JsonException) when (reader.EndOfStream)
                {
                    break;                          // the process died within this line: nobody was told about it
                }

                Apply(change!);
                whole += System.Text.Encoding.UTF8.GetByteCount(line) + 1;
            }
        }

        // A torn last line would swallow the first one written after it.
        using var repair = new FileStream(path, FileMode.Open, FileAccess.Write, FileShare.Read);
        if (repair.Length > whole)
            repair.SetLength(whole);
        else if (repair.Length < whole)
        {
            repair.Seek(0, SeekOrigin.End);         // the last line is whole but for its line feed
            repair.WriteByte((byte)'\n');
        }
    }

    private void Compact()
    {
        var fresh = path + ".new";
        using (var stream = new FileStream(fresh, FileMode.Create, FileAccess.Write, FileShare.None, 1 << 16))
        {
            foreach (var intent in Intents.All)
                Write(stream, new Change { Intents = [intent] });
            foreach (var charge in Charges.All)
                Write(stream, new Change { Charges = [charge] });
            foreach (var refund in Refunds.All)
                Write(stream, new Change { Refunds = [refund] });
            foreach (var method in Methods.All)
                Write(stream, new Change { Methods = [method] });
            foreach (var customer in Customers.All)
                Write(stream, new Change { Customers = [customer] });
            foreach (var happening in undelivered.Values)
                Write(stream, new Change { Events = [happening] });
            foreach (var key in answers.Keys.ToList())
            {
                if (AnswerFor(key) is { } answer)
                    Write(stream, new Change { Answer = answer });
                else
                    answers.Remove(key);
            }

            stream.Flush(flushToDisk: true);
        }

        File.Move(fresh, path, overwrite: true);
    }
}

/// <summary>Objects of one kind by id, listed newest first as the API does.</summary>
internal sealed class Shelf<T> where T : class, IObject
{
    private readonly Dictionary<string, int> places = new(StringComparer.Ordinal);
    private readonly List<T> items = [];

    public IReadOnlyList<T> All => items;

    public T? Find(string? id) => id is not null && places.TryGetValue(id, out var place) ? items[place] : null;

    public T this[string id] => items[places[id]];

    public int? PlaceOf(string id) => places.TryGetValue(id, out var place) ? place : null;

    public void Put(List<T>? changed)
    {
        foreach (var item in changed ?? [])
        {
            if (places.TryGetValue(item.Id, out var place))
                items[place] = item;
            else
            {
                places[item.Id] = items.Count;
                items.Add(item);
            }
        }
    }

    public void Clear()
    {
        places.Clear();
        items.Clear();
    }
}
