using System.Globalization;

namespace Marketplace.Search.Tests.Elasticsearch;

/// <summary>
/// So much of the Painless language as the engine's scripts use, so that the stand-in runs the very text that is sent. A slip in a script
/// is a test that fails; whether Elasticsearch reads it in the same way only Elasticsearch can tell.
/// </summary>
internal sealed class Painless
{
    private readonly List<string> tokens;
    private readonly List<Statement> statements = [];
    private int at;

    private delegate object? Expression(Dictionary<string, object?> scope);

    /// <returns>True when a value was returned.</returns>
    private delegate bool Statement(Dictionary<string, object?> scope);

    private const string Returned = "return";

    private Painless(string source)
    {
        tokens = Split(source);
        while (at < tokens.Count)
            statements.Add(ReadStatement());
    }

    public static Painless Compile(string source) => new(source);

    public object? Run(Dictionary<string, object?> variables)
    {
        foreach (var statement in statements)
        {
            if (statement(variables))
                return variables[Returned];
        }

        return null;
    }

    private static List<string> Split(string source)
    {
        var found = new List<string>();
        for (var i = 0; i < source.Length;)
        {
            var start = i;
            if (char.IsWhiteSpace(source[i]))
            {
                i++;
                continue;
            }

            if (char.IsLetter(source[i]) || source[i] == '_')
                while (i < source.Length && (char.IsLetterOrDigit(source[i]) || source[i] == '_')) i++;
            else if (char.IsDigit(source[i]))
                while (i < source.Length && (char.IsDigit(source[i]) || source[i] == '.')) i++;
            else if (source[i] == '\'')
                i = source.IndexOf('\'', i + 1) + 1;
            else
                i += i + 1 < source.Length && source.Substring(i, 2) is "==" or "!=" or "<=" or ">=" or "&&" or "||" or "+=" or "*=" or "->" ? 2 : 1;
            found.Add(source[start..i]);
        }

        return found;
    }

    private string Peek(int ahead = 0) => at + ahead < tokens.Count ? tokens[at + ahead] : "";

    private string Next() => tokens[at++];

    private bool Take(string token)
    {
        if (Peek() != token)
            return false;
        at++;
        return true;
    }

    private void Must(string token)
    {
        if (!Take(token))
            throw new InvalidOperationException($"compile error: {token} expected before {string.Join(' ', tokens.Skip(at).Take(6))}");
    }

    private Statement ReadStatement()
    {
        if (Take("{"))
        {
            var inner = new List<Statement>();
            while (!Take("}"))
                inner.Add(ReadStatement());
            return scope => inner.Exists(statement => statement(scope));
        }

        if (Take("if"))
        {
            Must("(");
            var condition = ReadExpression();
            Must(")");
            var then = ReadStatement();
            var otherwise = Take("else") ? ReadStatement() : null;
            return scope => (bool)condition(scope)! ? then(scope) : otherwise?.Invoke(scope) ?? false;
        }

        if (Take("for"))
        {
            Must("(");
            Must("def");
            var name = Next();
            Must(":");
            var all = ReadExpression();
            Must(")");
            var body = ReadStatement();
            return scope => ((IEnumerable<object?>)all(scope)!).ToList().Exists(one =>
            {
                scope[name] = one;
                return body(scope);
            });
        }

        if (Take("return"))
        {
            var value = ReadExpression();
            End();
            return scope =>
            {
                scope[Returned] = value(scope);
                return true;
            };
        }

        if (Peek() is "def" or "long" or "double" or "boolean")
        {
            var type = Next();
            var name = Next();
            Must("=");
            var value = ReadExpression();
            End();
            return scope =>
            {
                scope[name] = type == "double" ? Number(value(scope)) : value(scope);
                return false;
            };
        }

        return ReadAssignment();
    }

    /// <summary>The last one of a block needs no semicolon.</summary>
    private void End()
    {
        if (!Take(";") && Peek() is not ("}" or ""))
            throw new InvalidOperationException($"compile error: ; expected before {Peek()}");
    }

    private Statement ReadAssignment()
    {
        var start = at;
        var target = ReadUnary();
        if (Peek() is not ("=" or "+=" or "*="))
        {
            at = start;
            var call = ReadExpression();
            End();
            return scope =>
            {
                call(scope);
                return false;
            };
        }

        var end = at;
        var (container, key) = LastPlace(start, end);
        var kind = Next();
        var value = ReadExpression();
        End();
        return scope =>
        {
            var now = kind switch
            {
                "+=" => Add(target(scope), value(scope)),
                "*=" => Number(target(scope)) * Number(value(scope)),
                _ => value(scope),
            };
            ((IDictionary<string, object?>)(container is null ? scope : container(scope)!))[(string)key(scope)!] = now;
            return false;
        };
    }

    /// <summary>Where an assignment goes: into a variable, or by the last name or index into a map.</summary>
    private (Expression? Container, Expression Key) LastPlace(int start, int end)
    {
        if (end - start == 1)
        {
            var name = tokens[start];
            return (null, _ => name);
        }

        Expression key;
        int dot;
        if (tokens[end - 1] == "]")
        {
            for (dot = end - 1; tokens[dot] != "["; dot--) { }
            at = dot + 1;
            key = ReadExpression();
        }
        else
        {
            dot = end - 2;
            var name = tokens[end - 1];
            key = _ => name;
        }

        var held = tokens[dot];
        tokens[dot] = ";";                                      // the container ends here
        at = start;
        var container = ReadUnary();
        tokens[dot] = held;
        at = end;
        return (container, key);
    }

    private Expression ReadExpression()
    {
        if (Peek(1) == "->")
        {
            var name = Next();
            at++;
            var body = ReadExpression();
            return scope => (Func<object?, bool>)(value =>
            {
                scope[name] = value;
                return (bool)body(scope)!;
            });
        }

        var condition = ReadBinary(0);
        if (!Take("?"))
            return condition;
        var then = ReadExpression();
        Must(":");
        var otherwise = ReadExpression();
        return scope => (bool)condition(scope)! ? then(scope) : otherwise(scope);
    }

    private static readonly string[][] Levels = [["||"], ["&&"], ["==", "!="], ["<", ">", "<=", ">="], ["+", "-"], ["*", "/"]];

    private Expression ReadBinary(int level)
    {
        if (level == Levels.Length)
            return ReadUnary();

        var left = ReadBinary(level + 1);
        while (Levels[level].Contains(Peek()))
        {
            var (one, kind, other) = (left, Next(), ReadBinary(level + 1));
            left = kind switch
            {
                "||" => scope => (bool)one(scope)! || (bool)other(scope)!,
                "&&" => scope => (bool)one(scope)! && (bool)other(scope)!,
                "==" => scope => Same(one(scope), other(scope)),
                "!=" => scope => !Same(one(scope), other(scope)),
                "<" => scope => Number(one(scope)) < Number(other(scope)),
                ">" => scope => Number(one(scope)) > Number(other(scope)),
                "<=" => scope => Number(one(scope)) <= Number(other(scope)),
                ">=" => scope => Number(one(scope)) >= Number(other(scope)),
                "+" => scope => Add(one(scope), other(scope)),
                "-" => scope => one(scope) is long first && other(scope) is long second ? first - second : Number(one(scope)) - Number(other(scope)),
                "*" => scope => one(scope) is long first && other(scope) is long second ? first * second : Number(one(scope)) * Number(other(scope)),
                _ => scope => one(scope) is long first && other(scope) is long second ? first / second : Number(one(scope)) / Number(other(scope)),
            };
        }

        return left;
    }

    private Expression ReadUnary()
    {
        if (Take("!"))
        {
            var inner = ReadUnary();
            return scope => !(bool)inner(scope)!;
        }

        var value = ReadPrimary();
        while (true)
        {
            var from = value;
            if (Take("["))
            {
                var key = ReadExpression();
                Must("]");
                value = scope => Get(from(scope), (string)key(scope)!);
            }
            else if (Take("."))
            {
                var name = Next();
                if (Take("("))
                {
                    var arguments = ReadList(")");
                    value = scope => Call(from(scope), name, [.. arguments.Select(argument => argument(scope))]);
                }
                else
                {
                    value = scope => Get(from(scope), name);
                }
            }
            else
            {
                return value;
            }
        }
    }

    private Expression ReadPrimary()
    {
        var token = Next();
        if (token == "(")
        {
            var inner = ReadExpression();
            Must(")");
            return inner;
        }

        if (token == "[")
        {
            var entries = new List<(string Key, Expression Value)>();
            while (!Take("]"))
            {
                var key = Next().Trim('\'');
                Must(":");
                entries.Add((key, ReadExpression()));
                Take(",");
            }

            return scope => entries.ToDictionary(entry => entry.Key, entry => entry.Value(scope));
        }

        if (token[0] == '\'')
            return _ => token.Trim('\'');
        if (char.IsDigit(token[0]))
            return token.Contains('.', StringComparison.Ordinal) ? _ => double.Parse(token, CultureInfo.InvariantCulture) : _ => long.Parse(token, CultureInfo.InvariantCulture);
        return token switch
        {
            "true" => _ => true,
            "false" => _ => false,
            "null" => _ => null,
            "Math" => _ => "Math",
            _ => scope => scope.TryGetValue(token, out var value) ? value : throw new InvalidOperationException($"compile error: cannot resolve symbol [{token}]"),
        };
    }

    private List<Expression> ReadList(string end)
    {
        var all = new List<Expression>();
        while (!Take(end))
        {
            all.Add(ReadExpression());
            Take(",");
        }

        return all;
    }

    private static object? Get(object? from, string key) => from switch
    {
        IDictionary<string, object?> map => map.TryGetValue(key, out var value) ? value : null,
        null => throw new InvalidOperationException($"null_pointer_exception: cannot access [{key}] of null"),
        _ => throw new InvalidOperationException($"illegal_argument_exception: no field [{key}]"),
    };

    private static object? Call(object? on, string method, object?[] with)
    {
        switch (on, method)
        {
            case (IDictionary<string, object?> map, "putAll"):
                foreach (var (key, value) in (IDictionary<string, object?>)with[0]!)
                    map[key] = value;
                return null;
            case (IDictionary<string, object?> map, "putIfAbsent"):
                if (map.TryGetValue((string)with[0]!, out var known) && known is not null)
                    return known;
                map[(string)with[0]!] = with[1];
                return null;
            case (Dictionary<string, object?> map, "values"):
                return map;
            case (Dictionary<string, object?> map, "removeIf"):
                foreach (var (key, value) in map.ToList())
                {
                    if (((Func<object?, bool>)with[0]!)(value))
                        map.Remove(key);
                }

                return null;
            case (List<object?> list, "isEmpty"):
                return list.Count == 0;
            case ("Math", "min"):
                return Math.Min(Number(with[0]), Number(with[1]));
            case ("Math", "max"):
                return Math.Max(Number(with[0]), Number(with[1]));
            case ("Math", "log"):
                return Math.Log(Number(with[0]));
            case ("Math", "round"):
                return (long)Math.Floor(Number(with[0]) + 0.5);
            default:
                throw new InvalidOperationException($"illegal_argument_exception: dynamic method [{method}] not found");
        }
    }

    private static bool Same(object? one, object? other) => one is long or double && other is long or double ? Number(one) == Number(other) : Equals(one, other);

    private static object Add(object? one, object? other) => one is long first && other is long second ? first + second : Number(one) + Number(other);

    private static double Number(object? value) => value switch
    {
        long whole => whole,
        double number => number,
        _ => throw new InvalidOperationException($"class_cast_exception: {value ?? "null"} is no number"),
    };
}
