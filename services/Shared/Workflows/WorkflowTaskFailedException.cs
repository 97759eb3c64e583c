namespace Dapr.Workflow;

/// <summary>An activity or a child workflow ended with a failure.</summary>
public sealed class WorkflowTaskFailedException(string message, WorkflowTaskFailureDetails failureDetails) : Exception(message)
{
    public WorkflowTaskFailureDetails FailureDetails { get; } = failureDetails;
}

/// <summary>The failure as recorded in history: type name, message and stack of the exception where it happened.</summary>
public sealed class WorkflowTaskFailureDetails(string errorType, string errorMessage, string? stackTrace = null)
{
    public string ErrorType { get; } = errorType;

    public string ErrorMessage { get; } = errorMessage;

    public string? StackTrace { get; } = stackTrace;

    /// <summary>Whether the recorded type is <typeparamref name="T"/> or derives from it, as far as that type is loaded here.</summary>
    public bool IsCausedBy<T>() where T : Exception =>
        ErrorType == typeof(T).FullName ||
        AppDomain.CurrentDomain.GetAssemblies()
            .Select(assembly => assembly.GetType(ErrorType, throwOnError: false))
            .Any(type => type is not null && typeof(T).IsAssignableFrom(type));

    public override string ToString() => $"{ErrorType}: {ErrorMessage}";
}
