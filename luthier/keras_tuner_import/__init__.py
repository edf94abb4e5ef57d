"""`luthier import`: searches of Keras Tuner as tuning requests."""
