using System.Buffers;
using System.Text.Json;
using Marketplace.WaitingRoom;

namespace Marketplace.Gateway.FlashSales;

/// <summary>A standing as JSON, written by hand: thousands are asked for each second, and nothing but the text is left behind.</summary>
internal static class StandingText
{
    private static readonly JsonEncodedText SaleId = JsonEncodedText.Encode("saleId");
    private static readonly JsonEncodedText State = JsonEncodedText.Encode("state");
    private static readonly JsonEncodedText ServerTime = JsonEncodedText.Encode("serverTime");
    private static readonly JsonEncodedText StartsAt = JsonEncodedText.Encode("startsAt");
    private static readonly JsonEncodedText EndsAt = JsonEncodedText.Encode("endsAt");
    private static readonly JsonEncodedText StartsInSeconds = JsonEncodedText.Encode("startsInSeconds");
    private static readonly JsonEncodedText Position = JsonEncodedText.Encode("position");
    private static readonly JsonEncodedText PeopleAhead = JsonEncodedText.Encode("peopleAhead");
    private static readonly JsonEncodedText WaitSeconds = JsonEncodedText.Encode("waitSeconds");
    private static readonly JsonEncodedText AdmittedUntil = JsonEncodedText.Encode("admittedUntil");
    private static readonly JsonEncodedText PollAfterSeconds = JsonEncodedText.Encode("pollAfterSeconds");

    [ThreadStatic]
    private static ArrayBufferWriter<byte>? ownBuffer;

    [ThreadStatic]
    private static Utf8JsonWriter? ownWriter;

    public static byte[] Of(Standing standing)
    {
        var buffer = ownBuffer ??= new(512);
        buffer.ResetWrittenCount();
        var json = ownWriter ??= new(buffer);
        json.Reset(buffer);

        json.WriteStartObject();
        json.WriteString(SaleId, standing.SaleId);
        json.WriteString(State, standing.State);
        json.WriteString(ServerTime, standing.ServerTime);
        json.WriteString(StartsAt, standing.StartsAt);
        json.WriteString(EndsAt, standing.EndsAt);
        Number(json, StartsInSeconds, standing.StartsInSeconds);
        Number(json, Position, standing.Position);
        Number(json, PeopleAhead, standing.PeopleAhead);
        Number(json, WaitSeconds, standing.WaitSeconds);
        if (standing.AdmittedUntil is { } until)
            json.WriteString(AdmittedUntil, until);
        json.WriteNumber(PollAfterSeconds, standing.PollAfterSeconds);
        json.WriteEndObject();
        json.Flush();
        return buffer.WrittenSpan.ToArray();
    }

    private static void Number(Utf8JsonWriter json, JsonEncodedText name, long? value)
    {
        if (value is { } number)
            json.WriteNumber(name, number);
    }
}
