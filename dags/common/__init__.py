"""How a step is launched: settings, pod profiles, the step factory and its two operators."""
