Console.WriteLine("Marketplace local");
